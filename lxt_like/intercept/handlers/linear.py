"""Linear operations: F.linear and the convolutions."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...rules.base import Gradient
from ...rules.linear import Epsilon
from ..registry import Func, handles
from ..session import Session
from ..tags import is_weight
from .bilinear import pair
from .common import argument, is_active

_CONV = "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d".split()


def _call(
    func: Func, weight: Any, rest: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor
) -> Tensor:
    out: Tensor = func(x, weight, *rest, **kwargs)
    return out


@handles("linear", "linear", *_CONV)
def _linear(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0] if args else kwargs["input"]
    weight = args[1] if len(args) > 1 else kwargs["weight"]
    if is_active(weight) and not is_weight(weight) and is_active(x):
        return pair(session, func, args, kwargs)
    if not is_active(x):
        return func(*args, **kwargs)
    rule = session.rule("linear", func)
    exact = isinstance(rule, Epsilon) and rule.eps == 0 and session.measure is None
    if exact or isinstance(rule, Gradient):
        out = func(*args, **kwargs)
    else:
        assert isinstance(rule, Epsilon)
        kw = {k: v for k, v in kwargs.items() if k not in ("input", "weight")}
        bias = argument(args, kwargs, 2, "bias", None)
        batched = x.dim() == weight.dim()
        dim = -1 if func is torch.nn.functional.linear else (1 if batched else 0)
        op = partial(_call, func, weight, args[2:], kw)
        out = rule.linear(op, x, bias, dim, session.measure)
    if is_active(weight) or isinstance(rule, Gradient):
        session.claim(out, func, args)
    return out
