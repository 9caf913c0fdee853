"""Fused attention kernels."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...rules.attention import AttentionForm, UniformAttention, ValueOnly, is_one_kernel
from ..causes import cause_of, cause_of_all
from ..frozen import is_frozen, thawed
from ..graph import claim_node
from ..registry import Func, handles
from ..session import Session
from .common import is_active


def _kernel(kwargs: dict[str, Any], q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, **kwargs)


def _thawing(
    kwargs: dict[str, Any], q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None
) -> Tensor:
    """torch has fewer kernels for a mask that requires grad."""
    return _kernel(kwargs, q, k, v, None if mask is None else thawed(mask))


@handles("attention", "scaled_dot_product_attention")
def _sdpa(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    q, k, v = (given.pop(n) for n in names[:3])
    mask = given.pop("attn_mask", None)
    if not any(is_active(t) for t in (q, k, v, mask)):
        return func(*args, **kwargs)
    if given.get("dropout_p", 0.0) > 0:
        session.refuse(
            "attention dropout is active (training mode): each explanation would be random; "
            "call model.eval() first"
        )
    kernel = partial(_kernel, given)
    if is_frozen(session, mask):
        kernel = partial(_thawing, given)
    rule = session.rule("attention", func)
    if isinstance(rule, (UniformAttention, ValueOnly)):
        form = None
        if session.measure is not None:
            known = session.measure.names
            form = AttentionForm(
                scale=given.get("scale"),
                is_causal=bool(given.get("is_causal", False)),
                enable_gqa=bool(given.get("enable_gqa", False)),
                causes=(
                    cause_of_all((q, k), known),
                    "constant" if mask is None else cause_of(mask, known),
                ),
            )
        out = rule.attention(kernel, q, k, v, mask, form, session.measure)
    else:
        out = kernel(q, k, v, mask)
    if is_one_kernel(out):
        claim_node(out)
    else:
        session.claim(out, args, kwargs)
    if session.on_heads is not None and out.dim() == 4:
        session.on_heads(session.path, out)
    return out
