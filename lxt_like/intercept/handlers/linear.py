"""Linear operations: F.linear and the convolutions."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from ...rules.base import Gradient
from ...rules.maps import Convolution, Dense, LinearMap
from ..registry import ENTRIES, Func, handles
from ..session import Session
from ..tags import is_weight
from .bilinear import pair
from .common import is_active
from .ruled import is_plain, ruled

_CONV = ("conv1d", "conv2d", "conv3d")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_ARGUMENTS_TRANSPOSED = (*_ARGUMENTS[:5], "output_padding", "groups", "dilation")


def _call(
    func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], named: bool, x: Tensor
) -> Tensor:
    out: Tensor = func(**{**kwargs, "input": x}) if named else func(x, *args[1:], **kwargs)
    return out


def _linear(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0] if args else kwargs["input"]
    weight = args[1] if len(args) > 1 else kwargs["weight"]
    if is_active(weight) and not is_weight(weight) and is_active(x):
        return pair(session, func, args, kwargs)
    if not is_active(x):
        return func(*args, **kwargs)
    kind = ENTRIES[func].kind
    rule = session.rule(kind, func)
    if is_plain(session, rule):
        out = func(*args, **kwargs)
    else:
        name = ENTRIES[func].name
        names = _ARGUMENTS_TRANSPOSED if name in _TRANSPOSED else _ARGUMENTS
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        bias = given.pop("bias", None)
        del given["input"], given["weight"]
        made: LinearMap = Dense()
        if kind == "conv":
            batched = x.dim() == weight.dim()
            made = Convolution(weight, **given, transposed=name in _TRANSPOSED, batched=batched)
        call = partial(_call, func, args, kwargs, not args)
        out = ruled(session, rule, func, call, made, x, weight, bias)
    if is_active(weight) or isinstance(rule, Gradient):
        session.claim(out, func, args)
    return out


handles("linear", "linear")(_linear)
handles("conv", *_CONV, *_TRANSPOSED)(_linear)
