"""Linear operations: F.linear and the convolutions."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...rules.base import Gradient
from ...rules.maps import Convolution, Dense, General, LinearMap
from ..causes import put_cause
from ..registry import ENTRIES, Func, handles
from ..roles import mix, softmax_axis
from ..session import Session
from ..tags import is_weight
from .bilinear import pair
from .common import is_active
from .ruled import ruled

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


def _folded(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear as torch runs it for a weight that requires grad: bit-equal to the model's own.

    For a slice of a tensor torch folds all but the last dimension only if the weight is to have a
    gradient, and a patch has switched that off.
    """
    out = torch.mm(x.reshape(-1, x.shape[-1]), weight.t()).view(*x.shape[:-1], -1)
    return out if bias is None else out.add_(bias)


def _unfolds(x: Tensor, weight: Tensor) -> bool:
    return x.dim() > 2 and isinstance(weight, nn.Parameter) and not x.is_contiguous()


def _linear(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0] if args else kwargs["input"]
    weight = args[1] if len(args) > 1 else kwargs["weight"]
    if is_active(weight) and not is_weight(weight):
        if is_active(x):
            return pair(session, func, args, kwargs)
        return _of_weight(session, func, args, kwargs)
    kind = ENTRIES[func].kind
    asked = func
    if session.froze and kind == "linear" and _unfolds(x, weight):
        func = _folded
    if not is_active(x):
        return func(*args, **kwargs)
    rule = session.rule(kind, asked)
    if session.is_plain(rule):
        out = func(*args, **kwargs)
    else:
        name = ENTRIES[asked].name
        given = {**dict(zip(_names(name), args, strict=False)), **kwargs}
        bias = given.pop("bias", None)
        del given["input"], given["weight"]
        made: LinearMap = Dense()
        if kind == "conv":
            given.setdefault("transposed", name in _TRANSPOSED)
            made = Convolution(weight, **given, batched=x.dim() == weight.dim())
        call = partial(_call, func, args, kwargs, not args)
        out = ruled(session, rule, asked, call, made, x, weight, bias)
        if not out.requires_grad:
            put_cause(out, "cut")
            return out
    added = args[2] if len(args) > 2 else kwargs.get("bias")
    if is_active(weight) or is_active(added) or isinstance(rule, Gradient):
        session.claim(out, asked, (x, weight, added))
    else:
        session.claim_linear(kind, out, asked, (x,))
    mix(x, out, _axis_after(kind, x, weight))
    return out


def _of_weight(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A constant times a weight that the input makes: linear in the weight."""
    entry = ENTRIES[func]
    rule = session.rule(entry.kind, func)
    given = {**dict(zip(_names(entry.name), args, strict=False)), **kwargs}
    x, weight, bias = (given.pop(n, None) for n in ("input", "weight", "bias"))
    if session.is_plain(rule):
        out = func(*args, **kwargs)
    else:
        made = General(lambda w, x: func(x, w, bias=None, **given))
        if bias is not None and entry.kind == "conv":  # along the channels, before space
            bias = bias.reshape(-1, *[1] * (weight.dim() - 2))
        call = partial(_with_weight, func, args, kwargs)
        out = ruled(session, rule, func, call, made, weight, x, bias)
    session.claim(out, func, (weight, bias))
    return out


def _with_weight(
    func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], weight: Tensor
) -> Tensor:
    out: Tensor
    if len(args) > 1:
        out = func(args[0], weight, *args[2:], **kwargs)
    else:
        out = func(*args, **{**kwargs, "weight": weight})
    return out


def _axis_after(kind: str, x: Tensor, weight: Tensor) -> int | None:
    """Where a softmax's axis lies in the output, if the operation does not sum over it."""
    axis = softmax_axis(x)
    if axis is None or kind == "linear":
        return None if axis == -1 else axis
    channels = 1 - weight.dim()
    return axis if axis != channels and all(k == 1 for k in weight.shape[2:]) else None


handles("linear", "linear")(_linear)
handles("conv", *_CONV, *_TRANSPOSED, "convolution")(_linear)
