"""Activation functions."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from ...rules.activation import SHAPES, Activation, Identity, Shape, softplus_shape
from ..registry import ENTRIES, Func, handles, in_place, register
from ..session import Session
from ..tags import Tag, put
from .common import argument, is_active
from .product import multiply

_GATES = frozenset({"sigmoid", "hardsigmoid"})
_ODD = frozenset({"tanh", "erf"})

_NAMES = [n for n in SHAPES if n not in ("quick_gelu", "relu")]


def _apply(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor) -> Tensor:
    out: Tensor = func(x, *args, **kwargs)
    return out


def _shape(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Shape:
    if name == "softplus":
        return softplus_shape(float(argument(args, kwargs, 1, "beta", 1.0)))
    return SHAPES[name]


@handles("activation", *_NAMES, "softplus")
def _activation(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0] if args else kwargs["input"]
    if not is_active(x):
        return func(*args, **kwargs)
    kw = {k: v for k, v in kwargs.items() if k not in ("input", "inplace")}
    if kwargs.get("inplace"):
        result = _activation(session, func, (x.clone(), *args[1:]), kw)
        return x.copy_(result)
    name = ENTRIES[func].name
    rule = session.rule("activation", func)
    function = partial(_apply, func, args[1:], kw)
    if isinstance(rule, Identity):
        out = rule.activation(function, _shape(name, args, kw), x, session.measure)
    else:
        out = function(x)
        session.claim(out, func, (x,))
    role = "gate" if name in _GATES else "odd" if name in _ODD else "activation"
    put(out, Tag(role, Activation(x, function)))
    return out


@handles("activation", "glu")
def _glu(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """a * sigmoid(b): the gate is a weight."""
    x = args[0] if args else kwargs["input"]
    if not is_active(x):
        return func(*args, **kwargs)
    a, b = x.chunk(2, argument(args, kwargs, 1, "dim", -1))
    gate = b.sigmoid()
    put(gate, Tag("gate"))
    return multiply(session, func, a, gate)


@handles("activation", "relu", "leaky_relu")
def _homogeneous(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """f(x) = x f'(x): the plain gradient is the identity rule."""
    out = func(*args, **kwargs)
    if is_active(out):
        session.rule("activation", func)
        put(out, Tag("activation"))
    return out


register("activation", ("relu_", "leaky_relu_"))
for _name in ("sigmoid", "tanh", "silu", "elu", "celu", "selu", "hardswish", "mish", "exp", "erf"):
    in_place(_name, f"{_name}_")
