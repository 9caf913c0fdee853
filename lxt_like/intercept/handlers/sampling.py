"""What reads a map at other places, or pools it by a norm, or divides it by its neighbourhood."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...rules.base import Gradient
from ...rules.norm import ConstantScale
from ..registry import ENTRIES, Func, handles
from ..session import Session
from .common import argument, is_active


@handles("pooling", "max_unpool1d", "max_unpool2d", "max_unpool3d")
def _max_unpool(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Every value to its place; where two have the same place, torch keeps one."""
    indices = argument(args, kwargs, 1, "indices", None)
    if is_active(argument(args, kwargs, 0, "input", None)):
        planes = indices.flatten(-int(ENTRIES[func].name[-2])).sort(-1).values
        if bool((planes.diff(dim=-1) == 0).any()):
            session.refuse(
                f"{ENTRIES[func].name} puts several values into one place, of which one stays, and "
                "torch gives its gradient to all; pool without overlap"
            )
    out = func(*args, **kwargs)
    session.note(out, func)
    return out


@handles("product", "grid_sample")
def _grid_sample(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Linear in the map that is read; where it is read says how much of each place there is."""
    x, grid = args[0], argument(args, kwargs, 1, "grid", None)
    rest = args[2:], {k: v for k, v in kwargs.items() if k != "grid"}
    if not is_active(x):
        return func(x, grid, *rest[0], **rest[1])
    if is_active(grid) and not isinstance(session.rule("product", func), Gradient):
        grid = grid.detach()
    out = func(x, grid, *rest[0], **rest[1])
    session.claim(out, args, kwargs)
    return out


@handles("pooling", "lp_pool1d", "lp_pool2d", "lp_pool3d")
def _lp_pool(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """(sum x^p)^(1/p) is homogeneous: the plain gradient is the rule, as for a maximum."""
    out = func(*args, **kwargs)
    if is_active(args[0]):
        session.claim(out, args, kwargs)
    return out


@handles("norm", "local_response_norm")
def _local_response_norm(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """x / (k + alpha mean(x^2 over near channels))^beta with the divisor constant."""
    x: Tensor = args[0]
    if not is_active(x):
        return func(*args, **kwargs)
    if not isinstance(session.rule("norm", func), ConstantScale):
        out = func(*args, **kwargs)
        session.claim(out, args, kwargs)
        return out
    size = int(argument(args, kwargs, 1, "size", 0))
    alpha, beta = argument(args, kwargs, 2, "alpha", 1e-4), argument(args, kwargs, 3, "beta", 0.75)
    return x / _divisor(x.detach(), size, alpha, beta, argument(args, kwargs, 4, "k", 1.0))


def _divisor(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """As torch computes it, so that the values stay the same to the last bit."""
    square = x.mul(x)
    if x.dim() == 3:
        padded = F.pad(square.unsqueeze(1), (0, 0, size // 2, (size - 1) // 2))
        mean = F.avg_pool2d(padded, (size, 1), stride=1).squeeze(1)
    else:
        folded = square.view(x.shape[0], 1, x.shape[1], x.shape[2], -1)
        padded = F.pad(folded, (0, 0, 0, 0, size // 2, (size - 1) // 2))
        mean = F.avg_pool3d(padded, (size, 1, 1), stride=1).squeeze(1).view(x.shape)
    return mean.mul(alpha).add(k).pow(beta)
