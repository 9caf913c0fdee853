"""Pooling and maxima: the plain gradient is the rule."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...numerics import inner
from ..registry import Func, functions, handles, register
from ..roles import hand_on
from ..session import Session
from ..tags import put_twin, twin

_NAMES = """
    max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    amax amin max min maximum minimum interpolate upsample
""".split()

register("pooling", [n for n in _NAMES if functions(n)])


@handles("pooling", "pad")
def _pad(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Padding with a number adds no input; the other modes repeat the input's own values."""
    out = func(*args, **kwargs)
    mate = twin(args[0]) if session.first_layer else None
    if mate is not None:
        rest = {k: v for k, v in kwargs.items() if k != "value"}
        moved = func(mate, *args[1:3], **rest)
        put_twin(out, moved)
        if session.measure is not None:
            inside = func(torch.ones_like(mate), *args[1:3], **rest)
            session.measure.declare(moved, partial(_frame_share, inside == 0))
    hand_on(session, args, kwargs, out)
    return out


def _frame_share(frame: Tensor, r: Tensor) -> dict[str, float]:
    """The relevance that fell on a frame of constants."""
    return {"constant": inner(r, frame)}
