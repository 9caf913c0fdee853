"""Logarithms: functions without a value at zero to expand at.

They pass the plain gradient on; what it does not account for is declared in closed form.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...numerics import Amount, inner
from ...rules.base import Gradient
from ..graph import claim_node
from ..registry import ENTRIES, Func, handles
from ..session import Session
from .common import argument, is_active

_BASES = {"log": 1.0, "log2": math.log(2.0), "log10": math.log(10.0)}


@handles("activation", *_BASES)
def _log(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """log x: sum x g / x = sum g passes, the rest is the function's own."""
    out = func(*args, **kwargs)
    if not is_active(args[0]):
        return out
    rule = session.rule("activation", func)
    if session.measure is not None and not isinstance(rule, Gradient):
        base = _BASES[ENTRIES[func].name]
        session.measure.declare(out, partial(_log_share, out.detach() - 1.0 / base))
    claim_node(out)
    return out


def _log_share(rest: Tensor, g: Tensor) -> dict[str, Amount]:
    return {"activation": inner(rest, g)}


@handles("softmax", "logsumexp", "log_softmax")
def _logsumexp(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """log sum exp x and x - log sum exp x: the Taylor rule of softmax, as its own gradient."""
    x: Tensor = args[0]
    out = func(*args, **kwargs)
    if not is_active(x):
        return out
    rule = session.rule("softmax", func)
    if session.measure is not None and not isinstance(rule, Gradient):
        dim = argument(args, kwargs, 1, "dim", None)
        if dim is None:
            dim = 0 if x.dim() in (0, 1, 3) else 1
        kept = bool(argument(args, kwargs, 2, "keepdim", False))
        whole = ENTRIES[func].name == "log_softmax"
        share = partial(_log_softmax_share if whole else _sum_share, x.detach().clone(), dim)
        session.measure.declare(out, share if whole else partial(share, kept))
    session.claim(out, args, kwargs)
    return out


def _log_softmax_share(x: Tensor, dim: int, g: Tensor) -> dict[str, Amount]:
    """sum (y g - x (g - s sum g)) over y = x - log sum exp x."""
    x64, g64 = x.double(), g.double()
    total = g64.sum(dim, keepdim=True)
    gap = (torch.softmax(x64, dim) * x64).nan_to_num_(0.0).sum(dim, keepdim=True)
    return {"softmax": inner(gap - torch.logsumexp(x64, dim, keepdim=True), total)}


def _sum_share(x: Tensor, dim: int | tuple[int, ...], kept: bool, g: Tensor) -> dict[str, Amount]:
    """sum g (log sum exp x - sum s x)."""
    x64, g64 = x.double(), g.double()
    y = torch.logsumexp(x64, dim, keepdim=True)
    mean = (torch.exp(x64 - y) * x64).nan_to_num_(0.0).sum(dim, keepdim=True)
    return {"softmax": inner((y - mean) if kept else (y - mean).reshape(g64.shape), g64)}
