"""What is explained from within a model: looked-up rows, and leaves that somebody makes there."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..registry import ENTRIES, Entry, Func, handles
from ..roles import hand_on
from ..session import Session


@handles("look-up", "embedding", "embedding_bag")
def _look_up(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Rows of a table that requires grad; beside a tensor to explain they are weights."""
    out = func(*args, **kwargs)
    if not session.given and out.requires_grad:
        session.explained.begin(out)
        session.unasked = False
    hand_on(func, args, kwargs, out)
    session.note(out, func)
    return out


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
