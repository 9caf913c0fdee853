"""Products under other names: prod, var, bilinear forms, a quotient added."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...rules.base import Gradient, scale_incoming
from ..graph import claim_node
from ..registry import ENTRIES, Func, handles
from ..session import Session
from .bilinear import pair, times_constant
from .common import argument, is_active
from .shift import is_shifted, shifted
from .valued import valued


@handles("power", "prod", "var")
def _homogeneous(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Of degree n, as x^n is: each of the n equal parts takes its n-th part of the relevance."""
    x: Tensor = args[0]
    out = func(*args, **kwargs)
    if not is_active(x) or not out.requires_grad:
        return out
    if not isinstance(session.rule("product", func), Gradient):
        degree = 2
        if ENTRIES[func].name == "prod":
            dim = argument(args, kwargs, 1, "dim", None)
            degree = x.numel() if dim is None else x.shape[dim]
        scale_incoming(out, 1.0 / degree)
    claim_node(out)
    return out


def _is_apart(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    made = is_active(argument(args, kwargs, 2, "weight", None))
    return made or is_shifted(func, args, kwargs)


@handles("matmul", "bilinear", apart=_is_apart)
def _bilinear(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """y_k = a W_k b + bias: a matrix product of a and b where both are signals."""
    if is_shifted(func, args, kwargs):
        return shifted(session, func, args, kwargs)
    weight = argument(args, kwargs, 2, "weight", None)
    bias = argument(args, kwargs, 3, "bias", None)
    if is_active(weight):
        return _in_steps(session, func, args, kwargs, weight, bias)
    live = [i for i in (0, 1) if is_active(args[i])]
    if len(live) == 1:
        return times_constant(session, func, args, kwargs, live[0], bias)
    if not live:
        return func(*args, **kwargs)
    if session.measure is not None and bias is not None:
        session.measure.add_constant(bias)
    return pair(session, func, args, kwargs)


def _in_steps(
    session: Session,
    func: Func,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    weight: Tensor,
    bias: Tensor | None,
) -> Tensor:
    """W made of the input: a product of a and W, then of that and b."""
    value = func(*args, **kwargs)
    out = session.run(torch.einsum, "...i,kij->...kj", args[0], weight)
    out = session.run(torch.einsum, "...kj,...j->...k", out, args[1])
    if bias is not None:
        out = session.run(torch.add, out, bias)
    return valued(out, value)


@handles("product", "addcdiv")
def _addcdiv(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x + value * a / b: an active divisor is a norm's scale, held constant."""
    x, a, b = args
    one, other, divisor = (is_active(t) for t in (x, a, b))
    if divisor and other and not isinstance(session.rule("norm", func), Gradient):
        b = b.detach()
    elif divisor:  # one of several parts of what b stands for: not known
        return func(*args, **kwargs)
    if session.measure is not None and one != other:
        rest = x if other else torch.div(a, b) * kwargs.get("value", 1)
        session.measure.add_constant(rest)
    out = func(x, a, b, **kwargs)
    session.claim(out, args, kwargs)
    return out
