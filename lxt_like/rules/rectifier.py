"""Gradients that treat rectifiers otherwise: deconvnet, guided backprop, beta-smooth.

They are no LRP: what reaches the inputs does not add up to the score, and a ledger shows what is
lost or gained as ``unruled``.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .activation import Unary
from .base import Rule, RuleFunction
from .linear import check_number


@dataclass(frozen=True, repr=False)
class Rectifier(Rule):
    """Base: a gradient of its own for y = max(x, 0)."""

    kinds: ClassVar[frozenset[str]] = frozenset({"activation"})

    @abstractmethod
    def gradient(self, x: Tensor, g: Tensor) -> Tensor:
        """The gradient at x from that at max(x, 0)."""

    def rectify(self, function: Unary, x: Tensor) -> Tensor:
        """``function(x)``, a rectifier, under this rule."""
        return _Rectified.apply(x, function, self)


class _Rectified(RuleFunction):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Unary, rule: Rectifier) -> Tensor:
        ctx.save_for_backward(x)
        ctx.rule = rule
        return function(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return ctx.rule.gradient(x, g), None, None


@dataclass(frozen=True, repr=False)
class Deconvnet(Rectifier):
    """The deconvolutional network: the gradient is rectified instead of the activation.

    Formula: for y = max(x, 0), g_x = max(g, 0).  It does not conserve relevance.

    Use: the maps of Zeiler and Fergus; compare with them, do not add them up.
    Source: Zeiler and Fergus 2014, arXiv:1311.2901.
    """

    def gradient(self, x: Tensor, g: Tensor) -> Tensor:
        return g.clamp(min=0)


@dataclass(frozen=True, repr=False)
class GuidedBackprop(Rectifier):
    """Guided backpropagation: positive gradients through active units alone.

    Formula: for y = max(x, 0), g_x = max(g, 0) where x > 0, else 0.  It does not conserve.

    Use: sharp pictures of what excites a unit; hardly dependent on the model's later weights.
    Source: Springenberg et al. 2015, arXiv:1412.6806.
    """

    def gradient(self, x: Tensor, g: Tensor) -> Tensor:
        return g.clamp(min=0) * (x > 0)


@dataclass(frozen=True, repr=False)
class BetaSmooth(Rectifier):
    """The gradient of a softplus of sharpness beta in place of the rectifier's.

    Formula: for y = max(x, 0), g_x = g sigmoid(beta x).  It does not conserve relevance.

    Use: gradients that small changes of the input cannot twist.
    Source: Dombrowski et al. 2019, arXiv:1906.07983.
    """

    beta: float = 10.0

    def __post_init__(self) -> None:
        check_number("BetaSmooth", "beta", self.beta)

    def gradient(self, x: Tensor, g: Tensor) -> Tensor:
        return g * torch.sigmoid(self.beta * x)
