"""What handlers share."""

from __future__ import annotations

from typing import Any

from ...rules.live import is_active

__all__ = ["argument", "is_active"]


def argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], at: int, name: str, default: Any
) -> Any:
    """The argument ``name``, given by position ``at`` or by name."""
    return args[at] if len(args) > at else kwargs.get(name, default)
