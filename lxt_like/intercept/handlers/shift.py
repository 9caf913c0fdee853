"""Linear operations with a bias that depends on the input: the operation, and a sum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..registry import ENTRIES, Func
from ..session import Session
from .common import argument, is_active
from .valued import valued


def _at(func: Func) -> int:
    return 3 if ENTRIES[func].name == "bilinear" else 2


def is_shifted(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the bias of F.linear, F.bilinear or a convolution depends on the input."""
    return is_active(argument(args, kwargs, _at(func), "bias", None))


def shifted(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The operation without its bias, then a sum: each by its own rule."""
    at = _at(func)
    bias = argument(args, kwargs, at, "bias", None)
    value = func(*args, **kwargs)
    if len(args) > at:
        args = (*args[:at], None, *args[at + 1 :])
    else:
        kwargs = {k: v for k, v in kwargs.items() if k != "bias"}
    out = session.run(func, *args, **kwargs)
    weight = argument(args, kwargs, 1, "weight", None)
    if ENTRIES[func].kind == "conv":
        bias = session.run(torch.reshape, bias, (-1, *([1] * (weight.dim() - 2))))
    return valued(session.run(torch.add, out, bias), value)


_PRODUCTS: dict[str, Func] = {
    "addmm": torch.mm,
    "addmv": torch.mv,
    "baddbmm": torch.bmm,
}


def is_added(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether what addmm and its like add to the product depends on the input."""
    return is_active(args[0])


def added(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """beta c + alpha a @ b by its parts."""
    run, value, name = session.run, func(*args, **kwargs), ENTRIES[func].name
    c, a, b = args
    beta, alpha = kwargs.get("beta", 1), kwargs.get("alpha", 1)
    if alpha != 1:  # into the weights, where there are some
        a, b = (a, run(torch.mul, b, alpha)) if is_active(a) else (run(torch.mul, a, alpha), b)
    if name == "addbmm":
        out = run(torch.einsum, "bij,bjk->ik", a, b)
    else:
        out = run(_PRODUCTS[name], a, b)
    if beta != 1:
        c = run(torch.mul, c, beta)
    return valued(run(torch.add, c, out), value)
