"""Rules for attention as a whole: softmax(q k^T scale + mask) v, around any fused kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..numerics import inner, upcast
from .base import Book, Rule, consumer, scaled
from .softmax import softmax_bias

AttentionOp = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class AttentionForm:
    """How a kernel forms its scores: the scale of q k^T, causality, grouped heads."""

    scale: float | None = None
    is_causal: bool = False
    enable_gqa: bool = False


@dataclass(frozen=True)
class UniformAttention(Rule):
    """AttnLRP's attention: the uniform rule at A v and at q k^T, the Taylor rule at the softmax.

    Formula: half of the relevance goes to v; the other half goes through the softmax's
    gradient and is split again between q and k.  So the gradients of q, k, v are scaled by
    1/4, 1/4, 1/2, which is exact around any fused kernel.  An additive bias on the scores
    passes only the A v split and gets 1/2.  Declares ``softmax`` and, for a bias, ``constant``.

    Use: the default for transformers.
    Source: Achtibat et al. 2024 (AttnLRP), section 3.3 and appendix.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"attention"})

    def attention(
        self,
        op: AttentionOp,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        form: AttentionForm,
        book: Book | None = None,
    ) -> Tensor:
        """``op(q, k, v, mask)``; q [.., T, d], k [.., S, d], v [.., S, e], mask additive or bool."""
        qkv = [
            scaled(t, f) if t.requires_grad else t
            for t, f in ((q, 0.25), (k, 0.25), (v, 0.5))
        ]
        if mask is not None and mask.requires_grad:
            mask = scaled(mask, 0.5)
        out = op(*qkv, mask)  # type: ignore[arg-type]
        if book is not None:
            book.declare(out, _AttentionShare(q, k, v, mask, form))
        return out


@dataclass(frozen=True)
class ValueOnly(Rule):
    """CP-LRP's attention: the attention weights are constant, the values take everything.

    Formula: R_v = v A^T g, R_q = R_k = 0.  It conserves.

    Use: CP-LRP; where only the flow of values matters.
    Source: Ali et al. 2022 (CP-LRP).
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"attention"})

    def attention(
        self,
        op: AttentionOp,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        form: AttentionForm,
        book: Book | None = None,
    ) -> Tensor:
        """``op(q, k, v, mask)`` with q, k and the mask held constant."""
        # a node of its own: where the same tensor is key and value, the key's share stays out
        return op(
            q.detach(),
            k.detach(),
            consumer(v) if v.requires_grad else v,
            None if mask is None else mask.detach(),
        )


class _AttentionShare:
    """What UniformAttention keeps: the softmax's Taylor bias and an additive bias' share."""

    def __init__(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, form: AttentionForm
    ) -> None:
        self.active = (q.requires_grad or k.requires_grad, v.requires_grad)
        self.q, self.k, self.v = (t.detach().clone() for t in (q, k, v))
        self.mask = None if mask is None else mask.detach()
        self.mask_active = mask is not None and mask.requires_grad
        self.form = form
        self.both = q.requires_grad and k.requires_grad

    def __call__(self, g: Tensor) -> dict[str, float]:
        q, k, v = (upcast(t) for t in (self.q, self.k, self.v))
        heads = q.shape[-3] if q.dim() > 2 else 1
        if self.form.enable_gqa and k.shape[-3] != heads:
            k = k.repeat_interleave(heads // k.shape[-3], -3)
            v = v.repeat_interleave(heads // v.shape[-3], -3)
        scale = 1 / math.sqrt(q.shape[-1]) if self.form.scale is None else self.form.scale
        product = (q @ k.transpose(-1, -2)) * scale
        scores = product
        allowed: Tensor | None = None
        if self.form.is_causal:
            allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        if self.mask is not None:
            if self.mask.dtype == torch.bool:
                allowed = self.mask if allowed is None else allowed & self.mask
            else:
                scores = scores + self.mask
        if allowed is not None:
            scores = scores.masked_fill(~allowed, float("-inf"))
        weights = torch.softmax(scores, -1).nan_to_num()
        at_weights = 0.5 * (upcast(g) @ v.transpose(-1, -2))
        kept = {"softmax": softmax_bias(scores, weights, at_weights, -1)}
        at_scores = weights * (at_weights - (weights * at_weights).sum(-1, keepdim=True))
        if self.mask is not None and self.mask.dtype != torch.bool and not self.mask_active:
            share = inner(torch.broadcast_to(self.mask, at_scores.shape), at_scores)
            kept["constant"] = share
        # the halves of operands that do not depend on the explained input
        constant = kept.get("constant", 0.0)
        if not self.active[1]:
            constant += inner(weights, at_weights)
        if not self.both:
            constant += (1.0 if not self.active[0] else 0.5) * inner(product, at_scores)
        if constant:
            kept["constant"] = constant
        return kept
