"""Is an explanation faithful?  Removal curves, what follows from them, and what to compare with."""

from .data import Columns
from .report import Report, load_report
from .run import evaluate
from .tuning import Tuned, tune

__all__ = ["Columns", "Report", "Tuned", "evaluate", "load_report", "tune"]
