"""Rules for the softmax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..numerics import Amount, inner
from .base import Book, Rule


@dataclass(frozen=True)
class Taylor(Rule):
    """AttnLRP's softmax rule: a Taylor expansion at the input, which is the plain gradient.

    Formula: s = softmax(x), R_i = x_i (R'_i - s_i sum_j R'_j), R' the relevance of s.  It does
    not conserve; the expansion's bias term, sum_i R'_i - sum_i R_i, is declared as ``softmax``.

    Use: attention weights under AttnLRP.
    Source: Achtibat et al. 2024 (AttnLRP), Proposition 3.1.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"softmax"})

    def softmax(
        self, op: Callable[[Tensor], Tensor], x: Tensor, dim: int, book: Book | None = None
    ) -> Tensor:
        """``op(x)``, a softmax over ``dim``."""
        s = op(x)
        if book is not None:
            book.declare(s, SoftmaxShare(x.detach().clone(), s.detach().clone(), dim))
        return s


@dataclass(frozen=True)
class Constant(Rule):
    """The softmax's output is a weight held constant where it multiplies a signal.

    Formula: R_x = 0 through the weight; the values take everything.  Where a softmax output is
    itself the signal (probabilities as the model's output), the Taylor rule applies.

    Use: attention weights under CP-LRP.
    Source: Ali et al. 2022 (CP-LRP).
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"softmax"})

    def softmax(
        self, op: Callable[[Tensor], Tensor], x: Tensor, dim: int, book: Book | None = None
    ) -> Tensor:
        """``op(x)``; the consumer of the weight holds it constant."""
        return Taylor().softmax(op, x, dim, book)


class SoftmaxShare:
    """The relevance that softmax's Taylor bias keeps: sum s g - sum x s (g - sum s g)."""

    def __init__(self, x: Tensor, s: Tensor, dim: int) -> None:
        self.x, self.s, self.dim = x, s, dim

    def __call__(self, g: Tensor) -> dict[str, Amount]:
        return {"softmax": softmax_bias(self.x, self.s, g, self.dim)}


def softmax_bias(x: Tensor, s: Tensor, g: Tensor, dim: int) -> Amount:
    """Closed form of the Taylor bias for scores x, weights s and gradient g at the weights."""
    s64, g64 = s.double(), g.double()
    gx = s64 * (g64 - (s64 * g64).sum(dim, keepdim=True))
    # masked scores have s = 0 in their own dtype, so gx = 0 there, and 0 * -inf is no number
    return inner(s64, g64) - inner(torch.where(gx == 0, 0.0, x.double()), gx)
