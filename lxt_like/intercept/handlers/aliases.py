"""Ruled functions under other names: taken apart, each part by its own rule."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..registry import Func, handles
from ..session import Session
from ..tags import put, tag
from .common import argument
from .valued import valued


@handles("composite", "softmin")
def _softmin(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The softmax of -x."""
    x: Tensor = args[0]
    dim = argument(args, kwargs, 1, "dim", None)
    if dim is None:  # torch's own implicit choice
        dim = 0 if x.dim() in (0, 1, 3) else 1
    dtype = argument(args, kwargs, 3, "dtype", None)
    return session.run(F.softmax, session.run(torch.neg, x), dim, dtype=dtype)


@handles("composite", "expit")
def _expit(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return session.run(torch.sigmoid, args[0])


@handles("composite", "ndtr")
def _ndtr(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """(1 + erf(x / sqrt 2)) / 2, the gate of an exact GELU."""
    run = session.run
    odd = run(torch.erf, run(torch.mul, args[0], math.sqrt(0.5)))
    return _valued(run(torch.mul, run(torch.add, odd, 1.0), 0.5), func(*args, **kwargs))


@handles("composite", "exp2")
def _exp2(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """exp(x log 2)."""
    run = session.run
    return _valued(run(torch.exp, run(torch.mul, args[0], math.log(2.0))), func(*args, **kwargs))


@handles("composite", "logaddexp")
def _logaddexp(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """log sum exp of two."""
    run = session.run
    pair = run(torch.stack, run(torch.broadcast_tensors, *args[:2]), -1)
    return _valued(run(torch.logsumexp, pair, -1), func(*args, **kwargs))


@handles("composite", "vecdot")
def _vecdot(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The sum of a product."""
    x, y = args[:2]
    if x.is_complex():
        x = session.run(torch.conj, x)
    product = session.run(torch.mul, x, y)
    total = session.run(torch.sum, product, argument(args, kwargs, 2, "dim", -1))
    return _valued(total, func(*args, **kwargs))


@handles("composite", "pairwise_distance")
def _distance(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The norm of x - y + eps."""
    run = session.run
    order = argument(args, kwargs, 2, "p", 2.0)
    eps = argument(args, kwargs, 3, "eps", 1e-6)
    kept = argument(args, kwargs, 4, "keepdim", False)
    rest = run(torch.add, run(torch.sub, args[0], args[1]), eps)
    length = run(torch.linalg.vector_norm, rest, order, -1, kept)
    return _valued(length, func(*args, **kwargs))


@handles("composite", "var_mean", "std_mean")
def _moments(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The variance, or its root, and the mean of the same elements."""
    spread = torch.var if func is torch.var_mean else torch.std
    dim = argument(args, kwargs, 1, "dim", None)
    if isinstance(dim, bool):  # var_mean(x, unbiased)
        dim = None
    found = func(*args, **kwargs)
    parts = (
        session.run(spread, *args, **kwargs),
        session.run(torch.mean, args[0], dim, argument(args, kwargs, 3, "keepdim", False)),
    )
    return tuple(_valued(part, value) for part, value in zip(parts, found, strict=True))


def _valued(steps: Tensor, value: Tensor) -> Tensor:
    """The kernel's own value; the role is that of the steps."""
    out = valued(steps, value)
    if out is not value:
        put(out, tag(steps))
    return out
