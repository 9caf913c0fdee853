"""What handlers share."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def is_active(t: Any) -> bool:
    """Whether ``t`` is a tensor that depends on the explained input."""
    return isinstance(t, Tensor) and t.requires_grad


def argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], at: int, name: str, default: Any
) -> Any:
    """The argument ``name``, given by position ``at`` or by name."""
    return args[at] if len(args) > at else kwargs.get(name, default)
