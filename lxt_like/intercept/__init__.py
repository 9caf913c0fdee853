"""Interception: every torch function a patched model calls meets the rules here."""

from . import handlers as _handlers
from .mode import active, interceptor
from .registry import ENTRIES, handles, in_place, register
from .session import Session, Step, types_of

_handlers.install()

__all__ = [
    "ENTRIES",
    "Session",
    "Step",
    "active",
    "handles",
    "in_place",
    "interceptor",
    "register",
    "types_of",
]
