"""Interception: every torch function a patched model calls meets the rules here."""

from . import handlers as _handlers
from .functions import handles_function, install_functions, opened, remove_functions
from .given import begin, explain_all
from .mode import active, interceptor
from .registry import ENTRIES, handles, in_place, register
from .session import Session, Step, types_of

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
    "opened",
    "register",
    "remove_functions",
    "types_of",
]
