"""How a role survives an operation: what is made of weights alone is a weight.

Constants do not count, so a weight masked, padded or shifted by a constant is a weight still.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..rules.live import is_active
from .registry import ENTRIES, Func
from .tags import RANK, ROLE, Tag, flat, follow, put, tag

WEIGHTS = frozenset(role for role, rank in RANK.items() if rank > 1)
"""Not ``activation``: a sum of activations is a signal."""


def common_role(tensors: Iterable[Any]) -> str | None:
    """The role that all the signals among ``tensors`` have."""
    found = {None if (known := tag(t)) is None else known.role for t in tensors if is_active(t)}
    return found.pop() if len(found) == 1 else None


def give(tensors: Iterable[Any], out: Any, role: str | None) -> None:
    """Give ``out`` the role that it has from the signals among ``tensors``."""
    if role is None:
        return
    first = next(t for t in tensors if is_active(t))
    known = tag(first)
    for t in flat((out,)):
        put(t, Tag(role, axis=None if known is None else follow(first, known.axis, t)))


_KEEP = frozenset(
    """
    where tril triu neg negative __neg__ abs absolute __abs__ maximum minimum fmax fmin nan_to_num
    masked_scatter select_scatter slice_scatter diagonal_scatter pad constant_pad_nd
    """.split()
)
"""What leaves every element in its place, or chooses between elements."""
_REDUCE = frozenset({"sum", "mean", "nansum"})


def hand_on(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Give ``out`` the role of the weights that it was made of.

    Attention weights may also be cumulated, or summed over another axis than their own: over that
    they are an expectation, which is a signal.  Pooled gates are features.
    """
    tensors = list(flat((*args, *kwargs.values())))
    if not any(hasattr(t, ROLE) for t in tensors):
        return
    role = common_role(tensors)
    name = ENTRIES[func].name if func in ENTRIES else getattr(func, "__name__", "")
    if (role in WEIGHTS and name in _KEEP) or (role == "softmax" and name == "cumsum"):
        give(tensors, out, role)
    elif role == "softmax" and name in _REDUCE:
        axis = _reduced(args, kwargs)
        if axis is not None:
            put(out, Tag(role, axis=axis))


def _reduced(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """The softmax's axis after a sum over others; None if it is one of them, or not known."""
    x = args[0]
    found = tag(x)
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if found is None or found.axis is None or dims is None:
        return None
    gone = {d if d < 0 else d - x.dim() for d in ((dims,) if isinstance(dims, int) else dims)}
    if found.axis in gone:
        return None
    kept = kwargs.get("keepdim", args[2] if len(args) > 2 else False)
    return found.axis if kept else found.axis + sum(d > found.axis for d in gone)


def mix(out: Tensor, axis: int | None) -> None:
    """Attention weights mixed by constants (over heads, say) are attention weights still.

    ``axis``: where the softmax's axis lies in ``out``; None if the product sums over it.
    """
    if axis is not None:
        put(out, Tag("softmax", axis=axis))


def softmax_axis(x: Any) -> int | None:
    """The axis over which the softmax was taken, if ``x`` is attention weights."""
    found = tag(x)
    return found.axis if found is not None and found.role == "softmax" else None
