"""Rules for attention as a whole: softmax(q k^T scale + mask) v, around any fused kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from ..numerics import Amount, inner, upcast
from .base import Book, Rule, _Scale, consumer, scaled
from .live import is_active
from .softmax import softmax_bias

AttentionOp = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class AttentionForm:
    """How a kernel forms its scores: the scale of q k^T, causality, grouped heads.

    ``causes``: what q k^T and the additive bias stand for where they are constant.
    """

    scale: float | None = None
    is_causal: bool = False
    enable_gqa: bool = False
    causes: tuple[str, str] = ("constant", "constant")


@dataclass(frozen=True)
class UniformAttention(Rule):
    """AttnLRP's attention: the uniform rule at A v and at q k^T, the Taylor rule at the softmax.

    Formula: half of the relevance goes to v; the other half goes through the softmax's
    gradient and is split again between q and k.  So the gradients of q, k, v are scaled by
    1/4, 1/4, 1/2, which is exact around any fused kernel.  An additive bias on the scores
    passes only the A v split and gets 1/2.  An operand that does not depend on the input leaves
    its half to the other.  Declares ``softmax`` and, for a constant bias, or constant q and k
    under a bias that depends on the input, ``constant`` (or what they stand for).

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
        form: AttentionForm | None = None,
        book: Book | None = None,
    ) -> Tensor:
        """``op(q, k, v, mask)``; q [.., T, d], k [.., S, d], v [.., S, e]."""
        at_v, at_weights = _split(v, q, k, mask)
        at_q, at_k = _split(q, k)
        shares = (at_weights * at_q, at_weights * at_k, at_v)
        out = _whole(op, q, k, v, mask, shares)
        if out is None:
            q, k, v = (_share(t, f) for t, f in zip((q, k, v), shares, strict=True))
            out = op(q, k, v, None if mask is None else _share(mask, at_weights))
        if book is not None and form is not None:
            book.declare(out, _AttentionShare(q, k, v, mask, form, at_weights))
        return out


@dataclass(frozen=True)
class ValueOnly(Rule):
    """CP-LRP's attention: the attention weights are constant, the values take everything.

    Formula: R_v = v A^T g, R_q = R_k = 0.  It conserves.  What values that do not depend on the
    input take is a constant's.

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
        form: AttentionForm | None = None,
        book: Book | None = None,
    ) -> Tensor:
        """``op(q, k, v, mask)`` with q, k and the mask held constant."""
        if mask is not None and is_active(mask):
            mask = scaled(mask, 0.0)  # torch chooses its kernel by whether the mask is active
        if not is_active(v):
            return op(q.detach(), k.detach(), v, mask).detach()
        # a node of its own: where the same tensor is key and value, the key's share stays out
        return op(q.detach(), k.detach(), consumer(v), mask)


def _split(one: Tensor, *others: Tensor | None) -> tuple[float, float]:
    """The uniform rule between ``one`` and ``others``: what is constant leaves all to the rest."""
    rest = any(is_active(t) for t in others)
    return (0.5, 0.5) if is_active(one) and rest else (1.0, 1.0)


def _share(t: Tensor, factor: float) -> Tensor:
    return scaled(t, factor, fresh=True) if is_active(t) and factor != 1 else t


def is_one_kernel(out: Tensor) -> bool:
    """Whether autograd knows the attention that made ``out`` as one node."""
    node = out.grad_fn
    return node is not None and node.name().startswith("ScaledDotProduct")


_apart: set[tuple[object, ...]] = set()  # what is known not to run as one kernel


def _whole(
    op: AttentionOp,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    shares: tuple[float, float, float],
) -> Tensor | None:
    """``op`` with hooks on its one node, if it is one: two passes where operands take three.

    A backward is linear in the gradient that enters, so the share of q and k is taken there, and
    what v lacks is made good behind.
    """
    signature = (q.device.type, q.dtype, q.dim(), q.shape[-1], v.shape[-1], mask is None)
    active = is_active(q) and is_active(k) and is_active(v)
    if not active or is_active(mask) or signature in _apart:
        return None
    out = op(q, k, v, mask)
    node = out.grad_fn
    if node is None or not is_one_kernel(out):
        _apart.add(signature)
        return None
    node.register_prehook(_Scale(shares[0], False))
    node.register_hook(partial(_restore_value, shares[2] / shares[0]))
    return out


def _restore_value(
    factor: float, found: tuple[Tensor | None, ...], given: tuple[Tensor | None, ...]
) -> tuple[Tensor | None, ...]:
    dq, dk, dv, *rest = found
    if dv is not None:
        dv = dv * factor if torch.is_grad_enabled() else dv.mul_(factor)
    return dq, dk, dv, *rest


def repeated(x: Tensor, q: Tensor) -> Tensor:
    """Keys or values [..., groups, tokens, width], once for each head of ``q``."""
    groups = q.shape[-3] // x.shape[-3]
    return x if groups == 1 else x.repeat_interleave(groups, -3)


def scores_of(
    q: Tensor, k: Tensor, mask: Tensor | None, is_causal: bool, scale: float | None
) -> Tensor:
    """What the softmax of scaled_dot_product_attention sees: scaled q k^T, masked."""
    scores = (q @ k.transpose(-1, -2)) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        causal = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~causal, float("-inf"))
    if mask is None:
        return scores
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, float("-inf"))
    return scores + mask


class _AttentionShare:
    """What UniformAttention keeps: the softmax's Taylor bias, and constant scores' share."""

    def __init__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        form: AttentionForm,
        at_weights: float,
    ) -> None:
        self.active = is_active(q) or is_active(k)
        self.mask_active = is_active(mask)
        self.q, self.k, self.v = (t.detach().clone() for t in (q, k, v))
        self.mask = None if mask is None else mask.detach()
        self.form, self.at_weights = form, at_weights

    def __call__(self, g: Tensor) -> dict[str, Amount]:
        if not (self.active or self.mask_active):
            return {}
        q, k, v = (upcast(t) for t in (self.q, self.k, self.v))
        if self.form.enable_gqa:
            k, v = repeated(k, q), repeated(v, q)
        scores = scores_of(q, k, self.mask, self.form.is_causal, self.form.scale)
        weights = torch.softmax(scores, -1).nan_to_num()
        g_weights = self.at_weights * (upcast(g) @ v.transpose(-1, -2))
        kept = {"softmax": softmax_bias(scores, weights, g_weights, -1)}
        constant, (cause, of_mask) = None, self.form.causes
        if not self.active:
            constant = scores_of(q, k, None, False, self.form.scale)
        elif self.mask is not None and self.mask.dtype != torch.bool and not self.mask_active:
            constant, cause = self.mask, of_mask
        if constant is not None:
            g_scores = weights * (g_weights - (weights * g_weights).sum(-1, keepdim=True))
            kept[cause] = inner(torch.broadcast_to(constant, g_scores.shape), g_scores)
        return kept
