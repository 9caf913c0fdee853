"""The rule for sums: residual connections, biases, position embeddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..numerics import sum_to
from .base import Rule, RuleFunction


@dataclass(frozen=True)
class Proportional(Rule):
    """Every addend takes its own contribution.

    Formula: for z = a + b, R_a = a g and R_b = b g, the plain gradient.  An addend that does not
    depend on the explained input is declared: ``position``, ``token_type`` or ``constant``.

    Use: residual connections, concatenations, everything that is linear in all its operands.
    Source: Bach et al. 2015; Ali et al. 2022.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"add"})


@dataclass(frozen=True)
class Ratio(Rule):
    """Two addends share by their sizes, whatever their signs.

    Formula: for z = a + b, both dependent on the input, R_a = |a| / (|a| + |b|) R and
    R_b = |b| / (|a| + |b|) R.  |R_a| + |R_b| = |R|: where a and b nearly cancel, nothing blows up.
    An addend that does not depend on the input is declared, as under Proportional.

    Use: residual networks whose shortcuts cancel what they meet.
    Source: Otsuki et al. 2024 (ECCV), ratio-based splitting.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"add"})

    def add(
        self,
        call: Callable[[Tensor, Tensor], Tensor],
        a: Tensor,
        b: Tensor,
        factors: tuple[float, float] = (1.0, 1.0),
    ) -> Tensor:
        """``call(a, b)`` = p a + q b with ``factors`` = (p, q), of shapes that broadcast."""
        return _Ratio.apply(a, b, call, factors)


class _Ratio(RuleFunction):
    """p a + q b, whose backward splits by |p a| and |q b|.

    Per unit of R / |z| the share of p a is 1 where the signs agree, and d = (|p a| - |q b|) /
    (|p a| + |q b|) where they do not; that of q b is 1, or -d.  One number says both, and what
    the model writes into a and b later does not matter.  (What is 0 has no relevance either way.)
    """

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        call: Callable[[Tensor, Tensor], Tensor],
        factors: tuple[float, float],
    ) -> Tensor:
        p, q = factors
        one, two = p * a, q * b
        agree = (one > 0) == (two > 0)
        one, two = one.abs_(), two.abs_()
        size = one + two
        share = ((one - two) / size).masked_fill_(agree, 1.0)
        ctx.save_for_backward(share.masked_fill_(size == 0, 0.0))  # 0 + 0 carries nothing
        ctx.factors, ctx.like = factors, [(t.shape, t.dtype) for t in (a, b)]
        return call(a, b)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (share,) = ctx.saved_tensors
        shares = share, torch.where(share == 1, share, -share)
        a, b = (
            (sum_to(g * part, shape) * factor).to(dtype)
            for part, factor, (shape, dtype) in zip(shares, ctx.factors, ctx.like, strict=True)
        )
        return a, b, None, None
