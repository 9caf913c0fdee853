"""What handlers share."""

from __future__ import annotations

from typing import Any

from ...rules.live import is_active

__all__ = ["argument", "is_active", "subscripts"]


def argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], at: int, name: str, default: Any
) -> Any:
    """The argument ``name``, given by position ``at`` or by name."""
    return args[at] if len(args) > at else kwargs.get(name, default)


def subscripts(term: str, dims: int) -> list[str]:
    """'b...i' of 4 dimensions -> ['b', '.2', '.1', 'i']: what '...' stands for, from the right."""
    left, dots, right = term.partition("...")
    hidden = dims - len(left) - len(right) if dots else 0
    return [*left, *(f".{k}" for k in range(hidden, 0, -1)), *right]
