"""Activation functions."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...errors import RuleError
from ...rules.activation import (
    SHAPES,
    Activation,
    Identity,
    Shape,
    clamp_shape,
    softplus_shape,
    threshold_shape,
)
from ...rules.rectifier import Rectifier
from ..graph import claim_node
from ..registry import ENTRIES, Func, handles
from ..roles import WEIGHTS
from ..session import Session
from ..tags import Tag, put, put_activation, replace, tag
from .common import argument, is_active
from .product import multiply

_GATES = frozenset({"sigmoid", "hardsigmoid", "exp", "softplus"})
"""Positive factors: what they multiply is the signal (gates, decays, unnormalised weights)."""
_ODD = frozenset({"tanh", "erf"})

_NAMES = [n for n in SHAPES if n not in ("quick_gelu", "relu")]


def _apply(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor) -> Tensor:
    out: Tensor = func(x, *args, **kwargs)
    return out


def _shape(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Shape:
    if name == "softplus":
        beta = float(argument(args, kwargs, 1, "beta", 1.0))
        return softplus_shape(beta, float(argument(args, kwargs, 2, "threshold", 20.0)))
    return SHAPES[name]


@handles("activation", *_NAMES, "softplus")
def _activation(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not is_active(args[0]):
        return func(*args, **kwargs)
    name = ENTRIES[func].name
    role = "gate" if name in _GATES else "odd" if name in _ODD else "activation"
    return _ruled(session, func, args, kwargs, _shape(name, args, kwargs), role)


def _ruled(
    session: Session,
    func: Func,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    shape: Shape,
    role: str,
) -> Tensor:
    x: Tensor = args[0]
    if kwargs.get("inplace"):
        plain = {k: v for k, v in kwargs.items() if k != "inplace"}
        result = _ruled(session, func, (x.clone(), *args[1:]), plain, shape, role)
        x.copy_(result)
        replace(x, Tag(role))
        return x
    rule = session.rule("activation", func)
    function = partial(_apply, func, args[1:], kwargs)
    if isinstance(rule, Rectifier):
        raise RuleError(
            f"{rule!r} replaces the gradient of a rectifier, max(x, 0); "
            f"{ENTRIES[func].name} in {session.path or 'the model'} is none. Assign another rule "
            "to it by module or name"
        )
    if isinstance(rule, Identity):
        out = rule.activation(function, shape, x, session.measure)
    else:
        out = function(x)
        session.claim(out, args, kwargs)
    ruled = isinstance(rule, Identity) and not shape.offset
    put_activation(out, role, Activation(x, function, shape.factor(function) if ruled else None))
    return out


_CLAMPS = {
    "clamp": ("min", "max"),
    "clip": ("min", "max"),
    "clamp_min": ("min",),
    "clamp_max": ("max",),
    "hardtanh": ("min_val", "max_val"),
}


@handles("activation", *_CLAMPS)
def _clamp(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Bounds that are numbers; bounds that are tensors have no rule."""
    names = _CLAMPS[ENTRIES[func].name]
    given = {**dict(zip(names, args[1:], strict=False)), **kwargs}
    bounds = [given.get(n) for n in names]
    bounds = [
        b.item() if isinstance(b, Tensor) and b.numel() == 1 and not is_active(b) else b
        for b in bounds
    ]
    if not is_active(args[0]) or any(isinstance(b, Tensor) for b in bounds):
        out = func(*args, **kwargs)
        session.note(out, func)
        return out
    if names[0] == "min_val":
        bounds = [-1.0 if bounds[0] is None else bounds[0], 1.0 if bounds[1] is None else bounds[1]]
    low = None if names == ("max",) else bounds[0]
    high = None if names == ("min",) else bounds[-1]
    found = tag(args[0])
    if found is not None and found.role == "scale":  # a bounded norm's scale is a scale
        out = func(*args, **kwargs)
        put(out, Tag("scale"))
        session.note(out, func)
        return out
    if session.rectifying and low == 0 and high is None:
        return _rectified(session, func, args[:1], {})
    role = found.role if found is not None and found.role in WEIGHTS else "activation"
    return _ruled(session, func, args, kwargs, clamp_shape(low, high), role)


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


@handles("activation", "relu", "relu_")
def _relu(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """f(x) = x f'(x): the plain gradient is the identity rule."""
    if session.rectifying and is_active(args[0]):
        if ENTRIES[func].name == "relu_":
            kwargs = {"inplace": True}
        return _rectified(session, func, args, kwargs)
    out = func(*args, **kwargs)
    if is_active(out):
        session.rule("activation", func)
        replace(out, Tag("activation"))
    return out


def _rectified(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Tensor:
    """max(x, 0), which a rule may give a gradient of its own."""
    x: Tensor = args[0]
    rule = session.rule("activation", func)
    in_place = bool(argument(args, kwargs, 1, "inplace", False))
    if isinstance(rule, Rectifier):
        out = rule.rectify(F.relu, x.clone() if in_place else x)
        out = x.copy_(out) if in_place else out
    else:
        out = F.relu(x, inplace=in_place)
    replace(out, Tag("activation"))
    return out


@handles("activation", "threshold")
def _threshold(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x where x > threshold, else a value: a rectifier if both are 0."""
    x = args[0]
    at, value = (argument(args, kwargs, i, n, 0) for i, n in ((1, "threshold"), (2, "value")))
    in_place = bool(argument(args, kwargs, 3, "inplace", False))
    if at == 0 and value == 0:
        return _relu(session, F.relu, args[:1], {"inplace": in_place})
    if not is_active(x):
        return func(*args, **kwargs)
    options = {"threshold": at, "value": value, "inplace": in_place}
    return _ruled(session, F.threshold, (x,), options, threshold_shape(at, value), "activation")


@handles("activation", "leaky_relu", "leaky_relu_")
def _leaky_relu(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Homogeneous, too."""
    if session.rectifying and is_active(args[0]):
        return _ruled(session, func, args, kwargs, Shape(0.0, 1.0), "activation")
    out = func(*args, **kwargs)
    if is_active(out):
        session.rule("activation", func)
        put(out, Tag("activation"))
    return out


@handles("activation", "rrelu", "rrelu_")
def _rrelu(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A leaky ReLU of the mean slope; in training mode the slopes are drawn."""
    x: Tensor = args[0]
    if is_active(x) and argument(args, kwargs, 3, "training", False):
        session.refuse(
            "rrelu draws its slopes (training mode): each explanation would be random; "
            "call model.eval() first"
        )
    if not is_active(x) or argument(args, kwargs, 3, "training", False):
        return func(*args, **kwargs)
    ends = (argument(args, kwargs, 1, "lower", 1 / 8), argument(args, kwargs, 2, "upper", 1 / 3))
    in_place = ENTRIES[func].name == "rrelu_" or bool(argument(args, kwargs, 4, "inplace", False))
    if session.rectifying:
        options = {"inplace": in_place}
        return _ruled(session, F.rrelu, (x, *ends), options, Shape(0.0, 1.0), "activation")
    session.rule("activation", func)
    out = F.rrelu(x, *ends, inplace=in_place)
    replace(out, Tag("activation"))
    claim_node(out)
    return out
