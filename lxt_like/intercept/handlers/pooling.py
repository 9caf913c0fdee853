"""Pooling and maxima: the plain gradient is the rule."""

from __future__ import annotations

from typing import Any

from ..registry import Func, functions, handles, register
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
        put_twin(out, func(mate, *args[1:3], **rest))
    return out
