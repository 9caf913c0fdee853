"""Rules for linear operations: Linear, convolutions, HF Conv1D, expert matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import RuleError
from ..numerics import inner, stabilize
from .base import Book, Rule, RuleFunction


class _Stabilized(RuleFunction):
    """z with its gradient multiplied by z / (z + eps sign z); saves the factor, not z.

    A later in-place ReLU may overwrite z, so z itself cannot be kept.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(z / stabilize(z, eps))
        return z.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return g * factor, None


@dataclass(frozen=True)
class Epsilon(Rule):
    """LRP-epsilon for z = W x + b (LRP-0 at ``eps = 0``).

    Formula: R_i = x_i sum_j w_ji R_j / (z_j + eps sign(z_j)), sign(0) = +1.  As a modified
    gradient: g_i = sum_j w_ji g_j z_j / (z_j + eps sign(z_j)); at eps = 0 the plain gradient.
    Declares ``bias`` (b_j g_j) and ``epsilon`` (the share of the stabilizer).

    Use: eps = 0 in transformers (nothing is saved); 1e-6 as the classical choice in CNNs, where
    it absorbs weak, noisy contributions.
    Source: Bach et al. 2015, PLOS ONE, eq. 58; Montavon et al. 2019, section 10.2.1.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"linear"})
    eps: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.eps, (int, float)) and 0 <= self.eps < float("inf")):
            raise RuleError(f"Epsilon: eps must be a finite number >= 0, got {self.eps!r}")

    def linear(
        self,
        op: Callable[[Tensor], Tensor],
        x: Tensor,
        bias: Tensor | None = None,
        bias_dim: int = -1,
        book: Book | None = None,
    ) -> Tensor:
        """``op(x)`` under this rule.

        ``op`` is affine in its one argument; ``bias`` (shape [out], or broadcastable) is what
        it adds, along dimension ``bias_dim`` of the output; it is read for the ledger only.
        """
        z = op(x)
        out: Tensor = _Stabilized.apply(z, self.eps) if self.eps else z
        if book is not None:
            value = None if bias is None else bias.detach()
            book.declare(out, _LinearShare(value, bias_dim, z.detach().clone(), self.eps))
        return out


class _LinearShare:
    """bias and epsilon entries of a linear operation."""

    def __init__(self, bias: Tensor | None, dim: int, z: Tensor, eps: float) -> None:
        self.bias, self.dim, self.z, self.eps = bias, dim, z, eps

    def __call__(self, g: Tensor) -> dict[str, float]:
        entries: dict[str, float] = {}
        kept = g
        if self.eps:
            kept = g * (self.z / stabilize(self.z, self.eps))
            entries["epsilon"] = inner(self.z, g) - inner(self.z, kept)
        if self.bias is not None:
            entries["bias"] = bias_share(self.bias, kept, self.dim)
        return entries


def bias_share(bias: Tensor, g: Tensor, dim: int = -1) -> float:
    """``sum_j b_j g_j`` for a bias along ``dim`` of ``g``, or of g's own (broadcast) shape."""
    if bias.dim() == 1 and g.dim() > 1:
        shape = [1] * g.dim()
        shape[dim] = bias.shape[0]
        bias = bias.reshape(shape)
    return inner(torch.broadcast_to(bias, g.shape), g)
