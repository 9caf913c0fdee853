"""torch's own identity around modules that have full backward hooks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functions import handles_function
from ..graph import claim_node
from ..merge import HOOKS
from ..owned import is_owned, put_owned
from ..session import Session
from ..tags import Tag, put, tag
from ..twins import put_twin, twin
from .common import is_active


@handles_function(HOOKS)
def _hooks(session: Session, cls: Any, args: tuple[Any, ...]) -> Any:
    """A module's inputs, or its outputs, on one node that its hooks are put on.

    Each signal keeps its role and its twin, but no recipe: the backward is to come by here.
    Beside it constants go on as they are; autograd would have them come from the signals, too.
    """
    made = torch.autograd.Function.apply.__func__(cls, *args)  # type: ignore[attr-defined]
    live = any(map(is_active, args))
    outs = tuple(_handed_on(session, live, x, y) for x, y in zip(args, made, strict=True))
    if session.measure is not None:
        session.measure.seen(outs)
    return outs


def _handed_on(session: Session, live: bool, x: Tensor, y: Tensor) -> Tensor:
    if is_active(x):
        claim_node(y)
        found = tag(x)
        put(y, None if found is None else Tag(found.role, axis=found.axis))
        put_twin(y, twin(x))
        return y
    if live or not x.requires_grad:
        return x
    return put_owned(y, is_owned(session, x)) if session.owning else y
