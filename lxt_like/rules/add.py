"""The rule for sums: residual connections, biases, position embeddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

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
    """p a + q b, whose backward splits by |p a| and |q b|."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        call: Callable[[Tensor, Tensor], Tensor],
        factors: tuple[float, float],
    ) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.factors = factors
        return call(a, b)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        p, q = ctx.factors
        one, two = p * a, q * b
        size = one.abs() + two.abs()
        share = (g * (one + two) / size).masked_fill_(size == 0, 0.0)  # 0 + 0 carries nothing
        of_one = sum_to(share * one.sign(), a.shape) * p
        of_two = sum_to(share * two.sign(), b.shape) * q
        return of_one.to(a.dtype), of_two.to(b.dtype), None, None
