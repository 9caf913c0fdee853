"""Patching: swap and restore."""

from .patch import Patch, patch, restore

__all__ = ["Patch", "patch", "restore"]
