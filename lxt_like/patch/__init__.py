"""Patching: swap and restore."""

from .patch import Patch, patch

__all__ = ["Patch", "patch"]
