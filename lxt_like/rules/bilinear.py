"""Rules for products of two activations: matrix products and element-wise products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..numerics import sum_to
from .activation import Activation, Unary
from .base import Rule, RuleFunction, scale_incoming

BinaryOp = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Uniform(Rule):
    """The uniform rule: each of two factors takes half.

    Formula: for O = A B, R_A = A * (1/2) dO/dA^T g and likewise for B: half the plain
    gradient to each.  It conserves: sum R_A + sum R_B = sum R_O.

    Use: AttnLRP's choice for attention scores and values, gates and other products.  In an
    element-wise product a factor known to be a *weight* (softmax, sigmoid, router, norm scale)
    is held constant and the signal takes all; ``weights`` names the roles that count as one.
    Source: Achtibat et al. 2024 (AttnLRP), Proposition 3.3.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"bilinear", "product"})
    weights: ClassVar[dict[str, frozenset[str]]] = {
        "bilinear": frozenset(),
        "product": frozenset({"softmax", "gate", "scale"}),
    }

    def bilinear(self, op: BinaryOp, a: Tensor, b: Tensor) -> Tensor:
        """``op(a, b)``, half to each."""
        return scale_incoming(op(a, b), 0.5)

    def product(
        self,
        a: Tensor,
        b: Tensor,
        sources: tuple[Activation | None, Activation | None],
        fuse: bool = False,
    ) -> Tensor:
        """``a * b``, half to each; ``sources`` say how to recompute a factor from its input.

        ``fuse``: an activation and the product are one step of the backward, so that nothing
        arrives at the activation's output itself.
        """
        if a.shape != b.shape or a.dtype != b.dtype:
            return scale_incoming(a * b, 0.5)
        source, at = (sources[0], 0) if sources[0] is not None else (sources[1], 1)
        if source is None:
            return _HalfProduct.apply(a, b)
        if at == 1:
            a, b = b, a
        if fuse and source.factor is not None:
            return _FusedGate.apply(source.x, b, a.detach(), source.factor)
        return _GatedProduct.apply(a, b, source.x, source)


@dataclass(frozen=True)
class SignalOnly(Uniform):
    """All to the signal: the weighting factor is held constant.

    Formula: for O = A V with A a weight, R_V = V * A^T g and R_A = 0.  Where neither factor is
    known to be a weight the uniform rule applies.  The activated gate of a gated MLP, of the
    shape of what it gates, counts as the weight.  It conserves.

    Use: CP-LRP.  Fewer terms, no relevance through queries and keys.
    Source: Ali et al. 2022 (ICML), "XAI for Transformers: Better Explanations through
    Conservative Propagation".
    """

    weights: ClassVar[dict[str, frozenset[str]]] = {
        "bilinear": frozenset({"softmax", "gate", "scale"}),
        "product": frozenset({"softmax", "gate", "scale", "activation"}),
    }


def _into(mine: Tensor, factor: Tensor) -> Tensor:
    """``mine * factor``, in place unless the backward itself is to be differentiated."""
    return mine * factor if torch.is_grad_enabled() else mine.mul_(factor)


class _HalfProduct(RuleFunction):
    """a * b of equal shapes, half to each."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        half = g * 0.5
        return sum_to(half * b.conj(), a.shape), sum_to(_into(half, a.conj()), b.shape)


class _GatedProduct(RuleFunction):
    """f(x) * b of equal shapes, half to each.

    Saves x, which the activation's own node keeps anyway, instead of f(x), and computes f(x)
    again in the backward: one tensor less per gated MLP.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, x: Tensor, source: Activation) -> Tensor:
        ctx.save_for_backward(x, b)
        ctx.f = source.function
        return a * b

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, b = ctx.saved_tensors
        half = g * 0.5
        return half * b.conj(), _into(half, ctx.f(x).conj()), None, None


class _FusedGate(RuleFunction):
    """a * b with a = f(x) of equal shapes, half to b and half through f to x: one step.

    With r = f(x) / x both gradients share g r / 2: x gets b times it, b gets x times it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, b: Tensor, a: Tensor, factor: Unary) -> Tensor:
        ctx.save_for_backward(x, b)
        ctx.factor = factor
        return a * b

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, b = ctx.saved_tensors
        shared = ctx.factor(x)
        if torch.is_grad_enabled():
            shared = shared * g * 0.5
            return shared * b, shared * x, None, None
        shared.mul_(g).mul_(0.5)
        at_b = shared * x
        return shared.mul_(b), at_b, None, None
