"""Softmax, wherever it is written."""

from __future__ import annotations

from typing import Any

from ...rules.base import Gradient
from ...rules.softmax import Constant, Taylor
from ..registry import Func, handles
from ..session import Session
from ..tags import Tag, put
from .bilinear import _With
from .common import argument, is_active


@handles("softmax", "softmax")
def _softmax(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0] if args else kwargs.pop("input")
    args = args or (x,)
    if not is_active(x):
        return func(*args, **kwargs)
    rule = session.rule("softmax", func)
    dim = argument(args, kwargs, 1, "dim", None)
    if dim is None:  # torch's own implicit choice
        dim = 0 if x.dim() in (0, 1, 3) else 1
    if isinstance(rule, Gradient):
        out = func(*args, **kwargs)
    else:
        assert isinstance(rule, (Taylor, Constant))
        out = rule.softmax(_With(func, args, kwargs, (0,)), x, dim, session.measure)
    session.claim(out, args, kwargs)
    put(out, Tag("softmax", axis=dim if dim < 0 else dim - x.dim()))
    return out
