"""A rule that holds what an operation computes constant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from .base import Book
from .linear import LinearRule, Step
from .maps import LinearMap


@dataclass(frozen=True)
class Hold(LinearRule):
    """The output of a linear operation is held constant: a parameter that depends on the input.

    Formula: R_x = 0.  A product of that output with a signal gives everything to the signal; where
    it is added instead, the ledger shows it as ``cut``.

    Use: the selection parameters of a state-space model (step, B and C), computed by one layer.
    Source: Jafari et al. 2024 (MambaLRP), arXiv:2406.07592, section 4.2.
    """

    def spread(self, step: Step) -> Tensor:
        raise AssertionError("nothing arrives at a constant")

    def linear(
        self,
        call: Callable[[Tensor], Tensor],
        made: LinearMap,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        book: Book | None = None,
        twin: Tensor | None = None,
    ) -> Tensor:
        """``call(x)``, without a gradient."""
        return call(x.detach())
