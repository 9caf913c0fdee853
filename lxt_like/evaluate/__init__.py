"""Is an explanation faithful?  Removal curves, what follows from them, and what to compare with."""

from typing import TYPE_CHECKING

from ..lazy import attach
from .front import evaluate

if TYPE_CHECKING:
    from .columns import Columns
    from .report import Report, load_report
    from .tuning import Tuned, tune
else:
    __getattr__, __dir__ = attach(
        __name__,
        {".columns": "Columns", ".report": "Report load_report", ".tuning": "Tuned tune"},
    )

__all__ = ["Columns", "Report", "Tuned", "evaluate", "load_report", "tune"]
