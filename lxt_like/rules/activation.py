"""The rule for activation functions, and what it needs to know of each of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..numerics import Amount, inner, quotient, ratio, upcast
from .base import Book, Rule, RuleFunction, may_overwrite, refuse_complex

Unary = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Shape:
    """What the identity rule needs of f: f(0), the slope at 0, and a stable (f(x) - f(0)) / x.

    ``ratio`` is None where f(0) = 0 and the quotient f(x) / x does not cancel.  ``early``: the
    plain gradient does not need x, so a model may overwrite it after f: the ratio is kept instead.
    """

    offset: float
    slope: float
    ratio: Unary | None = None
    early: bool = False

    def factor(self, function: Unary) -> Unary:
        """x -> (f(x) - f(0)) / x, a fresh tensor in x's dtype."""
        return self.ratio or partial(_own_quotient, function, self.slope)


@dataclass(frozen=True)
class Activation:
    """How an activation's output came about: ``function(x)``.

    ``factor``: x -> function(x) / x, if the identity rule is in force and function(0) = 0.
    """

    x: Tensor
    function: Unary
    factor: Unary | None = None


def _own_quotient(function: Unary, slope: float, x: Tensor) -> Tensor:
    wide = upcast(x)
    return ratio(function(wide), wide, slope).to(x.dtype)


def _quotient(numerator: Unary, limit: float, x: Tensor) -> Tensor:
    return ratio(numerator(upcast(x)), upcast(x), limit).to(x.dtype)


def _sigmoid_ratio(x: Tensor) -> Tensor:
    """(sigma(x) - 1/2) / x = tanh(x/2) / (2x)."""
    half = upcast(x) * 0.5
    return (ratio(torch.tanh(half), half, 1.0) * 0.25).to(x.dtype)


def _softplus_ratio(beta: float, threshold: float, x: Tensor) -> Tensor:
    """(softplus(x) - softplus(0)) / x = log((1 + e^t) / 2) / t with t = beta x, without overflow.

    Where t > threshold torch's softplus is x itself.
    """
    t = upcast(x) * beta
    # log((1 + e^t) / 2) = max(t, 0) + log1p(expm1(-|t|) / 2)
    top = t.clamp(min=0) + torch.log1p(torch.expm1(-t.abs()) * 0.5)
    top = torch.where(t > threshold, t - math.log(2.0), top)
    return ratio(top, t, 0.5).to(x.dtype)


def _logsigmoid_ratio(x: Tensor) -> Tensor:
    """(log sigma(x) + log 2) / x: softplus mirrored."""
    return _softplus_ratio(1.0, math.inf, -x)


def _cos_ratio(x: Tensor) -> Tensor:
    """(cos x - 1) / x = -sin(x/2) * sin(x/2) / (x/2)."""
    half = upcast(x) * 0.5
    s = torch.sin(half)
    return (-s * ratio(s, half, 1.0)).to(x.dtype)


def _hardsigmoid_ratio(x: Tensor) -> Tensor:
    """(hardsigmoid(x) - 1/2) / x = min(1/6, 1 / (2 |x|))."""
    return (0.5 / upcast(x).abs().clamp(min=3.0)).to(x.dtype)


SHAPES: dict[str, Shape] = {
    "relu": Shape(0.0, 0.0),
    "relu6": Shape(0.0, 0.0),
    "gelu": Shape(0.0, 0.5),
    "silu": Shape(0.0, 0.5, torch.sigmoid),
    "mish": Shape(0.0, 0.6),
    "tanh": Shape(0.0, 1.0, early=True),
    "erf": Shape(0.0, 2 / math.sqrt(math.pi)),
    "sin": Shape(0.0, 1.0),
    "elu": Shape(0.0, 1.0),
    "celu": Shape(0.0, 1.0),
    "selu": Shape(0.0, 1.0507009873554805),
    "softsign": Shape(0.0, 1.0),
    "tanhshrink": Shape(0.0, 0.0),
    "softshrink": Shape(0.0, 0.0),
    "hardshrink": Shape(0.0, 0.0),
    "hardswish": Shape(0.0, 0.5),
    "log1p": Shape(0.0, 1.0),
    "expm1": Shape(0.0, 1.0),
    "sigmoid": Shape(0.5, 0.25, _sigmoid_ratio, early=True),
    "hardsigmoid": Shape(0.5, 1 / 6, _hardsigmoid_ratio),
    "logsigmoid": Shape(-math.log(2.0), 0.5, _logsigmoid_ratio),
    "exp": Shape(1.0, 1.0, partial(_quotient, torch.expm1, 1.0), early=True),
    "cos": Shape(1.0, 0.0, _cos_ratio),
}
"""f(0), f'(0) and a stable ratio for every activation known by name."""


def _offset_ratio(offset: float, numerator: Unary, x: Tensor) -> Tensor:
    return ratio(numerator(upcast(x)) - offset, upcast(x), 0.0).to(x.dtype)


def clamp_shape(low: float | None, high: float | None) -> Shape:
    """min(max(x, low), high); it is exactly constant beyond the bounds, so nothing cancels."""
    inf = float("inf")
    low, high = -inf if low is None else float(low), inf if high is None else float(high)
    offset = min(max(0.0, low), high)
    if not offset:
        return Shape(0.0, 1.0)
    return Shape(offset, 0.0, partial(_offset_ratio, offset, partial(_clamped, low, high)))


def threshold_shape(at: float, value: float) -> Shape:
    """x where x > at, else ``value``."""
    if at < 0 or value == 0:
        return Shape(0.0, 1.0 if at < 0 else 0.0)
    function = partial(F.threshold, threshold=at, value=value)
    return Shape(value, 0.0, partial(_offset_ratio, value, function))


def _clamped(low: float, high: float, x: Tensor) -> Tensor:
    return x.clamp(min=low).clamp(max=high)


def softplus_shape(beta: float = 1.0, threshold: float = 20.0) -> Shape:
    """softplus(x) = log(1 + exp(beta x)) / beta, and x where beta x > threshold."""
    if threshold < 0:  # f(x) = x around 0
        return Shape(0.0, 1.0)
    return Shape(math.log(2.0) / beta, 0.5, partial(_softplus_ratio, beta, threshold))


_WIDE = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Identity(Rule):
    """The identity rule: an activation passes its relevance through unchanged.

    Formula: for y = f(x), R_x = R_y (y - f(0)) / y, i.e. the gradient is multiplied by
    (f(x) - f(0)) / x, with the limit f'(0) at x = 0.  The offset f(0) g is declared as
    ``activation``; it is 0 for ReLU, GELU, SiLU and tanh.

    Use: everywhere; the standard treatment of element-wise non-linearities.
    Source: Bach et al. 2015; Achtibat et al. 2024, section 3.3.2.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"activation"})

    def activation(
        self, function: Unary, shape: Shape, x: Tensor, book: Book | None = None
    ) -> Tensor:
        """``function(x)`` under this rule."""
        refuse_complex(self, x)
        slope = shape.slope if shape.ratio is None and x.dtype in _WIDE else None
        out: Tensor = _Identity.apply(x, function, shape.factor(function), shape.early, slope)
        if book is not None and shape.offset:
            offset: float | Tensor = shape.offset
            if not (finite := torch.isfinite(x.detach())).all():
                # nothing passes a masked input: f(x) g stays here
                offset = torch.where(finite, shape.offset, out.detach())
            book.declare(out, partial(_offset_share, offset))
        return out


@dataclass(frozen=True)
class Pass(Identity):
    """Relevance passes an activation whole, its offset's share too.

    Formula: for y = f(x), R_x = R_y, i.e. the gradient is multiplied by f(x) / x, with the limit
    f'(0) at x = 0.  Where f(0) != 0 nothing can pass at x = 0: declared as ``activation``.  The
    same as :class:`Identity` for ReLU, GELU, SiLU and tanh, whose f(0) is 0.

    Use: to hand on what a sigmoid or softplus adds of its own.
    Source: Bach et al. 2015.
    """

    def activation(
        self, function: Unary, shape: Shape, x: Tensor, book: Book | None = None
    ) -> Tensor:
        refuse_complex(self, x)
        if not shape.offset:
            return super().activation(function, shape, x, book)
        factor = partial(_whole_ratio, function)
        out: Tensor = _Identity.apply(x, function, factor, shape.early, None)
        if book is not None:
            book.declare(out, partial(_offset_share, shape.offset * (x.detach() == 0)))
        return out


def _whole_ratio(function: Unary, x: Tensor) -> Tensor:
    wide = upcast(x)
    return (function(wide) / wide).masked_fill_(wide == 0, 0.0).to(x.dtype)


def _offset_share(offset: float | Tensor, g: Tensor) -> dict[str, Amount]:
    return {"activation": inner(torch.ones_like(g) * offset, g)}


class _Identity(RuleFunction):
    """f(x) with gradient g (f(x) - f(0)) / x; saves one tensor of its size, as the gradient does.

    ``slope``: the factor is the quotient of output and input, at hand in the forward; saved in
    place of the input, it spares the backward a second f(x).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, function: Unary, factor: Unary, early: bool, slope: float | None
    ) -> Tensor:
        out = function(x)
        if slope is not None:
            saved = quotient(out, x, slope)
        else:
            saved = factor(x) if early else x
        ctx.save_for_backward(saved)
        ctx.factor = None if early or slope is not None else factor
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None, None]:
        (saved,) = ctx.saved_tensors
        if ctx.factor is None:
            factor, fresh = saved, may_overwrite()
        else:
            factor, fresh = ctx.factor(saved), not torch.is_grad_enabled()
        return (factor.mul_(g) if fresh else g * factor), None, None, None, None


def quick_gelu(x: Tensor) -> Tensor:
    """x sigma(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


SHAPES["quick_gelu"] = Shape(0.0, 0.5)
FUNCTIONS: dict[str, Unary] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "softplus": F.softplus,
    "quick_gelu": quick_gelu,
}
