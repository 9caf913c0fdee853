"""torch's own multi-head attention, whose Python body hides its operations from a mode.

``F.multi_head_attention_forward`` begins by handing itself to the mode, so calling it again
under the mode would recurse: its body is written here, over intercepted operations.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UnruledError
from ..registry import Func, handles
from ..session import Session
from .common import is_active

_SIGNATURE = inspect.signature(F.multi_head_attention_forward)


@handles("composite", "multi_head_attention_forward")
def _multi_head(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    bound = _SIGNATURE.bind(*args, **kwargs)
    bound.apply_defaults()
    a = bound.arguments
    if not (torch.is_grad_enabled() and any(is_active(a[n]) for n in ("query", "key", "value"))):
        return func(*args, **kwargs)
    if a["static_k"] is not None or a["static_v"] is not None:
        raise UnruledError(
            f"multi_head_attention_forward in {session.path or 'the model'} is given static_k or "
            "static_v, which have no rule; project them with the module's own weights instead"
        )
    run = session.run
    batched = a["query"].dim() == 3
    q, k, v = a["query"], a["key"], a["value"]
    same = (q is k, k is v)
    if not batched:
        q, k, v = (run(torch.unsqueeze, t, 1) for t in (q, k, v))
    q, k, v = _project(session, a, q, k, v, same)
    length, batch = q.shape[0], q.shape[1]
    heads = a["num_heads"]
    masks = [_additive(a["key_padding_mask"], q), _additive(a["attn_mask"], q)]
    if a["bias_k"] is not None:
        k = run(torch.cat, [k, a["bias_k"].repeat(1, batch, 1)])
        v = run(torch.cat, [v, a["bias_v"].repeat(1, batch, 1)])
        masks = [_pad(m) for m in masks]
    q, k, v = (_heads(session, t, batch, heads) for t in (q, k, v))
    if a["add_zero_attn"]:
        k, v = (run(torch.cat, [t, t.new_zeros(*t.shape[:2], 1, t.shape[3])], 2) for t in (k, v))
        masks = [_pad(m) for m in masks]
    mask = _merge(masks, batch, heads, length, k.shape[2])
    p = a["dropout_p"] if a["training"] else 0.0
    weights = None
    if a["need_weights"]:
        scores = run(torch.matmul, run(torch.mul, q, q.shape[-1] ** -0.5), k.transpose(-2, -1))
        if mask is not None:
            scores = run(torch.add, scores, mask)
        weights = run(F.softmax, scores, dim=-1)
        out = run(torch.matmul, run(F.dropout, weights, p=p, training=p > 0), v)
    else:
        causal = a["is_causal"] and a["attn_mask"] is None
        out = run(F.scaled_dot_product_attention, q, k, v, mask, p, causal)
    out = run(torch.Tensor.permute, out, 2, 0, 1, 3)
    out = run(torch.Tensor.reshape, out, length * batch, -1)
    out = run(F.linear, out, a["out_proj_weight"], a["out_proj_bias"])
    out = run(torch.Tensor.view, out, length, batch, -1)
    if weights is not None and a["average_attn_weights"]:
        weights = weights.mean(1)
    if not batched:
        out = run(torch.squeeze, out, 1)
        weights = None if weights is None else weights.squeeze(0)
    return out, weights


def _project(
    session: Session, a: dict[str, Any], q: Tensor, k: Tensor, v: Tensor, same: tuple[bool, bool]
) -> list[Tensor]:
    bias = a["in_proj_bias"]
    biases = (None, None, None) if bias is None else bias.chunk(3)
    if a["use_separate_proj_weight"]:
        weights = tuple(a[f"{n}_proj_weight"] for n in "qkv")
    elif same == (True, True):
        out = session.run(F.linear, q, a["in_proj_weight"], bias)
        return list(session.run(torch.chunk, out, 3, -1))
    else:
        weights = a["in_proj_weight"].chunk(3)
    return [
        session.run(F.linear, t, w, b) for t, w, b in zip((q, k, v), weights, biases, strict=True)
    ]


def _heads(session: Session, t: Tensor, batch: int, heads: int) -> Tensor:
    """[tokens, batch, dim] -> [batch, heads, tokens, dim / heads]."""
    t = session.run(torch.Tensor.reshape, t, t.shape[0], batch, heads, -1)
    out: Tensor = session.run(torch.Tensor.permute, t, 1, 2, 0, 3)
    return out


def _additive(mask: Tensor | None, like: Tensor) -> Tensor | None:
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill_(mask, float("-inf"))


def _pad(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else F.pad(mask, (0, 1))


def _merge(
    masks: list[Tensor | None], batch: int, heads: int, length: int, source: int
) -> Tensor | None:
    """Padding [batch, source] and attention masks as one [batch, heads, length, source]."""
    padding, mask = masks
    if mask is not None and mask.dim() == 3:
        mask = mask.view(batch, heads, length, source)
    if padding is not None:
        padding = padding.reshape(batch, 1, 1, source)
        mask = padding if mask is None else mask + padding
    return mask
