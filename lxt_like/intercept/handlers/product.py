"""Element-wise products, quotients and powers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...rules.base import Gradient, Rule, scale_incoming, scaled
from ...rules.bilinear import Uniform
from ..graph import claim_node
from ..registry import ENTRIES, Func, handles
from ..session import Session
from ..tags import Tag, carry, put, rank, recipe, tag
from ..twins import shift_twin
from .common import argument, is_active


def multiply(session: Session, func: Func, a: Tensor, b: Tensor) -> Tensor:
    """a * b of two activations: a weight is held constant, else the product's rule applies."""
    ra, rb = rank(a), rank(b)
    rule = session.rule("norm" if max(ra, rb) == 4 else "product", func)
    out: Tensor
    if isinstance(rule, Gradient):
        out = torch.mul(a, b)
        claim_node(out)
        return out
    weight = _weight_of(rule, a, b)
    if weight is not None:
        out = torch.mul(a.detach(), b) if weight == 0 else torch.mul(a, b.detach())
        carry(b if weight == 0 else a, out)
        return out
    uniform = rule if isinstance(rule, Uniform) else Uniform()
    out = uniform.product(a, b, (recipe(a), recipe(b)), session.fuse)
    role = tag(a)
    if role is not None and min(ra, rb) > 1:
        put(out, Tag(role.role))
    claim_node(out)
    return out


def _weight_of(rule: Rule, a: Tensor, b: Tensor) -> int | None:
    """Which of two factors is a weight under ``rule``, held constant: 0, 1 or none."""
    ra, rb = rank(a), rank(b)
    first = tag(a if ra > rb else b)
    if ra == rb or first is None:
        return None
    roles = rule.weights["product"] if isinstance(rule, Uniform) else frozenset({"scale"})
    # an activation is the gate of a gated MLP only where it is as large as what it gates
    gates = first.role in roles and (first.role != "activation" or a.shape == b.shape)
    return (0 if ra > rb else 1) if gates else None


@handles("product", "mul", "multiply", "__mul__", "__rmul__")
def product(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) < 2:
        return func(*args, **kwargs)
    a, b = args[0], args[1]
    if is_active(a) and is_active(b):
        return multiply(session, func, a, b)
    out = func(*args, **kwargs)
    carry(a if is_active(a) else b, out)
    if session.first_layer:
        shift_twin(func, args, kwargs, out)
    return out


@handles("product", "outer", "ger")
def _outer(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Every element of one vector times every element of the other: as torch computes it."""
    a, b = args
    column = a[:, None]
    carry(a, column)
    return product(session, torch.mul, (column, b), kwargs)


@handles("quotient", "div", "divide", "true_divide", "__truediv__", "__rtruediv__", "__rdiv__")
def _div(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """a / b: an active divisor is a norm's scale, held constant."""
    if len(args) < 2:
        return func(*args, **kwargs)
    a, b = args[0], args[1]
    if func in _REVERSED:
        a, b = b, a
    if kwargs.get("rounding_mode") is not None and (is_active(a) or is_active(b)):
        session.refuse("a rounded division has no gradient, so no relevance passes it")
    if not is_active(b):
        out = func(*args, **kwargs)
        carry(a, out)
        if session.first_layer:
            shift_twin(func, args, kwargs, out)
        return out
    if not is_active(a):
        out = func(*args, **kwargs)
        put(out, Tag("scale"))
        session.note(out, func)
        return out
    rule = session.rule("norm", func)
    if isinstance(rule, Gradient):
        out = func(*args, **kwargs)
        session.claim(out, args, kwargs)
        return out
    out = torch.div(a, b.detach(), **kwargs)
    carry(a, out)
    return out


_REVERSED = {
    getattr(torch.Tensor, name)
    for name in ("__rtruediv__", "__rdiv__")
    if hasattr(torch.Tensor, name)
}


@handles("scale", "rsqrt", "reciprocal")
def _inverse(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """1 / x and 1 / sqrt(x): the scale of a norm; constant where it multiplies a signal."""
    out = func(*args, **kwargs)
    if is_active(args[0]):
        put(out, Tag("scale"))
        session.note(out, func)
    return out


@handles("power", "pow", "__pow__", "square", "float_power", "sqrt")
def _pow(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x^n: a product of n equal factors; each takes its n-th part, so x^n / x is the ratio."""
    x = args[0]
    exponent = args[1] if len(args) > 1 else 0.5 if ENTRIES[func].name == "sqrt" else 2
    if isinstance(exponent, Tensor) and exponent.numel() == 1 and not is_active(exponent):
        exponent = exponent.item()
    if not is_active(x) or isinstance(exponent, Tensor):
        out = func(*args, **kwargs)
        session.note(out, func)
        return out
    if exponent < 0:
        out = func(*args, **kwargs)
        put(out, Tag("scale"))
        session.note(out, func)
        return out
    if exponent == 0:
        return func(*args, **kwargs)
    rule = session.rule("product", func)
    if isinstance(rule, Gradient):
        out = func(*args, **kwargs)
    else:
        out = scale_incoming(func(*args, **kwargs), 1.0 / exponent)
    carry(x, out)  # a power of a gate is a gate
    claim_node(out)
    return out


@handles("product", "addcmul")
def _addcmul(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x + value * a * b: the product gets its rule, the sum passes both on."""
    x, a, b = args
    signals = [is_active(t) for t in (a, b)]
    if all(signals):
        rule = session.rule("norm" if max(rank(a), rank(b)) == 4 else "product", func)
        weight = None if isinstance(rule, Gradient) else _weight_of(rule, a, b)
        if weight is not None:
            a, b = (a.detach(), b) if weight == 0 else (a, b.detach())
        elif not isinstance(rule, Gradient):
            a, b = scaled(a, 0.5), scaled(b, 0.5)
    if session.measure is not None and any(signals) and not is_active(x):
        session.measure.add_constant(x)
    elif session.measure is not None and not any(signals):
        session.measure.add_constant(a * b, kwargs.get("value", 1), "constant")
    out = func(x, a, b, **kwargs)
    session.claim(out, args, kwargs)
    return out


@handles("product", "lerp")
def _lerp(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x + w (y - x): w says how much of each there is, a gate, so it is held constant."""
    x, y, w = args
    one, other, mixing = (is_active(t) for t in (x, y, w))
    if mixing and (one or other) and not isinstance(session.rule("product", func), Gradient):
        w = w.detach()
    if session.measure is not None and not (one and other):
        if one or other:
            session.measure.add_constant(w * y if one else x - w * x)
        elif mixing:  # the signal mixes two constants
            session.measure.add_constant(x)
    out = func(x, y, w, **kwargs)
    session.claim(out, args, kwargs)
    return out


@handles("product", "cosine_similarity")
def _cosine(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x y / (|x| |y|) by its parts: norms are constant, the product meets its rule."""
    x, y = args[:2]
    dim = argument(args, kwargs, 2, "dim", 1)
    eps = argument(args, kwargs, 3, "eps", 1e-8)
    run, norm = session.run, torch.linalg.vector_norm
    x, y = torch.broadcast_tensors(x, y)
    x, y = (
        run(torch.div, t, run(torch.clamp_min, run(norm, t, dim=dim, keepdim=True), eps))
        for t in (x, y)
    )
    out: Tensor = run(torch.Tensor.sum, run(torch.mul, x, y), dim)
    return out
