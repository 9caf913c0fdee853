"""Interception: every torch function a patched model calls meets the rules here."""

from . import handlers as _handlers
from .functions import handles_function, install_functions, opened, remove_functions
from .given import begin, explain_all
from .graph import spare_weights
from .mode import active, interceptor
from .registry import ENTRIES, handles, in_place, register
from .session import Session, Step, types_of
from .trust import now

_handlers.install()

__all__ = [
    "ENTRIES",
    "Session",
    "Step",
    "active",
    "begin",
    "explain_all",
    "handles",
    "handles_function",
    "in_place",
    "install_functions",
    "interceptor",
    "now",
    "opened",
    "register",
    "remove_functions",
    "spare_weights",
    "types_of",
]
