"""What a model has of its own: parameters, buffers, and what is computed from those alone.

Beside it there are constants that come from the data: other inputs, what a model detached.  In a
product with attention weights the former are a layer's matrix, the latter values, and so is a
table that the model lays out once for each sample.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..rules.live import is_active, is_weight
from .causes import overwrites
from .registry import ENTRIES, Func
from .session import Session
from .tags import flat

_OWNED = "_lxt_owned"
_LIKE = frozenset(
    "to type_as view_as reshape_as zeros_like ones_like full_like".split()
    + "new_zeros new_ones new_full".split()
)
"""What reads facts of a tensor, not its values: of the second argument, or of the only one."""
_SPREAD = frozenset("expand expand_as broadcast_to repeat repeat_interleave tile".split())
"""What lays a tensor out several times, be it for a batch of one."""


def is_owned(session: Session, t: Tensor) -> bool:
    """Whether ``t`` is the model's own."""
    known = _known(session, t)
    if known is None and t._base is not None:
        known = _known(session, t._base)
    return is_weight(t) if known is None else known


def _known(session: Session, t: Tensor) -> bool | None:
    if isinstance(t, nn.Parameter) or id(t) in session.own:
        return True
    found: bool | None = getattr(t, _OWNED, None)
    return found


def put_owned(t: Tensor, own: bool = True) -> Tensor:
    """``t``, which is the model's own from now on."""
    setattr(t, _OWNED, own)
    return t


def mark_owned(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> None:
    """Remember whether constants that ``func`` made, or wrote into, are the model's own."""
    name = _name(func)
    own = name not in _SPREAD and all(is_owned(session, t) for t in _read(name, args, kwargs))
    if overwrites(func, kwargs):
        written = [] if own else list(flat(args[:1]))
        for t in (*written, *(t._base for t in written if t._base is not None)):
            session.own.discard(id(t))
            if getattr(t, _OWNED, False):
                put_owned(t, False)
        return
    given = {id(t) for t in flat((*args, *kwargs.values()))}
    for t in flat((out,)):
        # unasked, a view of a parameter is the model's own, and a weight by its graph
        marked = own or t.requires_grad or t._base is not None
        if marked and not is_active(t) and id(t) not in given:
            put_owned(t, own)


def _name(func: Func) -> str:
    entry = ENTRIES.get(func)
    return getattr(func, "__name__", "") if entry is None else entry.name


def _read(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors whose values go into the result."""
    if name in _LIKE:
        return list(flat(args[:1])) if name.endswith("_as") or name == "to" else []
    return list(flat((*args, *kwargs.values())))
