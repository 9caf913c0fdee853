"""What is explained from within a model: looked-up rows, and leaves that somebody makes there."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ...rules.live import is_active
from ..registry import ENTRIES, Entry, Func, handles
from ..roles import hand_on
from ..session import Session


@handles("look-up", "embedding", "embedding_bag")
def _look_up(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Rows of a table that requires grad; beside a tensor to explain they are weights."""
    table = kwargs.get("weight", args[1] if len(args) > 1 else None)
    if func in _SIGNATURES and session.given and is_active(table):
        args, kwargs = (), _for_a_signal(session, func, args, kwargs)
    out = func(*args, **kwargs)
    if not session.given and out.requires_grad:
        session.explained.begin(out)
        session.unasked = False
    hand_on(func, args, kwargs, out)
    session.note(out, func)
    return out


_SIGNATURES = {f: inspect.signature(f) for f in (F.embedding, F.embedding_bag)}


def _for_a_signal(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The call without what changes gradients alone, which are not for a table that is trained."""
    given = dict(_SIGNATURES[func].bind(*args, **kwargs).arguments)
    if given.get("max_norm") is not None:
        session.refuse(
            f"{func.__name__} with max_norm writes into a table that depends on what is explained; "
            "scale it before"
        )
    changed = {"scale_grad_by_freq", "sparse"}
    if func is F.embedding:  # of a bag it is left out of the value, too
        changed.add("padding_idx")
    return {name: value for name, value in given.items() if name not in changed}


@handles("leaf", "requires_grad_")
def _leaf(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A hidden state that a hook cuts off from the rest, for one: no weight of the model."""
    out = func(*args, **kwargs)
    x = args[0]
    if x.is_leaf and x.requires_grad and not isinstance(x, nn.Parameter):
        session.explained.add(x)
    return out


_set: Any = vars(torch.Tensor.__base__)["requires_grad"].__set__
ENTRIES[_set] = Entry("requires_grad", "leaf", _leaf)
