"""How a role survives an operation: what is made of weights alone is a weight.

Constants do not count, so a weight masked, padded or shifted by a constant is a weight still.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from .graph import passes_on
from .session import Session
from .tags import RANK, Tag, flat, is_weight, put, tag

WEIGHTS = frozenset(role for role, rank in RANK.items() if rank > 1)
"""Not ``activation``: a sum of activations is a signal."""


def is_signal(session: Session, t: Any) -> bool:
    """Whether ``t`` depends on the explained input; a ledger reads constants through leaves."""
    if not (isinstance(t, Tensor) and t.requires_grad) or is_weight(t):
        return False
    return session.measure is None or not t.is_leaf


def common_role(session: Session, tensors: Iterable[Any]) -> str | None:
    """The role that all the signals among ``tensors`` have."""
    found = {
        None if (known := tag(t)) is None else known.role for t in tensors if is_signal(session, t)
    }
    return found.pop() if len(found) == 1 else None


def hand_on(session: Session, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Give ``out`` the role of the weights that it was made of, by an operation linear in them."""
    tensors = list(flat((*args, *kwargs.values())))
    if all(tag(t) is None for t in tensors):
        return
    role = common_role(session, tensors)
    if role not in WEIGHTS:
        return
    for t in flat((out,)):
        if t.grad_fn is not None and tag(t) is None and passes_on(t.grad_fn):
            put(t, Tag(role))


def mix(x: Tensor, out: Tensor) -> None:
    """Attention weights mixed by constants (over heads, say) are attention weights still."""
    found = tag(x)
    if found is not None and found.role == "softmax":
        put(out, Tag("softmax"))
