"""Linear operations: F.linear and the convolutions."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...rules.base import Gradient
from ...rules.maps import Convolution, Dense, General, LinearMap
from ..causes import put_cause
from ..frozen import folded_linear, folds
from ..registry import ENTRIES, Func, handles
from ..roles import mix, softmax_axis
from ..session import Session
from .bilinear import pair
from .common import is_active
from .ruled import ruled
from .shift import is_shifted, shifted

_CONV = ("conv1d", "conv2d", "conv3d")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_ARGUMENTS_TRANSPOSED = (*_ARGUMENTS[:5], "output_padding", "groups", "dilation")
_ARGUMENTS_ANY = (*_ARGUMENTS[:6], "transposed", "output_padding", "groups")


def _names(name: str) -> tuple[str, ...]:
    if name == "convolution":
        return _ARGUMENTS_ANY
    return _ARGUMENTS_TRANSPOSED if name in _TRANSPOSED else _ARGUMENTS


def _call(
    func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], named: bool, x: Tensor
) -> Tensor:
    out: Tensor = func(**{**kwargs, "input": x}) if named else func(x, *args[1:], **kwargs)
    return out


def _linear(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if is_shifted(func, args, kwargs):
        return shifted(session, func, args, kwargs)
    x = args[0] if args else kwargs["input"]
    weight = args[1] if len(args) > 1 else kwargs["weight"]
    if is_active(weight):
        return _made(session, func, args, kwargs)
    kind = ENTRIES[func].kind
    asked = func
    if session.froze and kind == "linear" and folds(session, x, weight):
        func = folded_linear
    if not is_active(x):
        return func(*args, **kwargs)
    rule = session.rule(kind, asked)
    if session.is_plain(rule):
        out = func(*args, **kwargs)
    else:
        name = ENTRIES[asked].name
        given = _given(name, args, kwargs)
        bias = given.pop("bias", None)
        del given["input"], given["weight"]
        made: LinearMap = Dense() if weight.dim() == 2 else General(F.linear)
        if kind == "conv":
            given.setdefault("transposed", name in _TRANSPOSED)
            made = Convolution(weight, **given, batched=x.dim() == weight.dim())
        call = partial(_call, func, args, kwargs, not args)
        out = ruled(session, rule, asked, call, made, x, weight, bias)
        if not out.requires_grad:
            put_cause(out, "cut")
            return out
    if isinstance(rule, Gradient):
        session.claim(out, args, kwargs)
    else:
        session.claim_linear(kind, out, (x,))
    mix(out, _axis_after(kind, x, weight))
    return out


def _given(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**dict(zip(_names(name), args, strict=False)), **kwargs}


def _made(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Weights made of the input: a product of two signals, or linear in them for a constant x."""
    given = _given(ENTRIES[func].name, args, kwargs)
    x, weight, bias = (given.pop(n, None) for n in _ARGUMENTS[:3])
    kind = ENTRIES[func].kind
    made = General(lambda w, c: func(c, w, None, **given))
    made.batched = kind == "linear" or x.dim() == weight.dim()
    made.channels = -1 if kind == "linear" else int(made.batched)
    if is_active(x):
        out = pair(session, func, (x, weight, bias), given)
        if session.measure is not None and bias is not None:
            session.measure.add_constant(made.spread_bias(bias, out))
        return out
    rule = session.rule(kind, func)
    if session.is_plain(rule):
        out = func(*args, **kwargs)
    else:
        call = partial(_with_weight, func, x, bias, given)
        out = ruled(session, rule, func, call, made, weight, x, bias)
    session.claim(out, args, kwargs)
    return out


def _with_weight(func: Func, x: Tensor, bias: Any, given: dict[str, Any], weight: Tensor) -> Tensor:
    out: Tensor = func(x, weight, bias, **given)
    return out


def _axis_after(kind: str, x: Tensor, weight: Tensor) -> int | None:
    """Where a softmax's axis lies in the output, if the operation does not sum over it."""
    axis = softmax_axis(x)
    if axis is None or kind == "linear":
        return None if axis == -1 else axis
    channels = 1 - weight.dim()
    return axis if axis != channels and all(k == 1 for k in weight.shape[2:]) else None


handles("linear", "linear", apart=is_shifted)(_linear)
handles("conv", *_CONV, *_TRANSPOSED, "convolution", apart=is_shifted)(_linear)
