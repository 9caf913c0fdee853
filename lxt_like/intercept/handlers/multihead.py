"""torch's own multi-head attention, whose Python body hides its operations from a mode.

``F.multi_head_attention_forward`` begins by handing itself to the mode, so calling it again
under the mode would recurse: its body is written here, over intercepted operations.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UnruledError
from ..registry import Func, handles
from ..session import Session
from ..tags import flat
from .common import is_active

_SIGNATURE = inspect.signature(F.multi_head_attention_forward)


@handles("composite", "multi_head_attention_forward")
def _multi_head(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    bound = _SIGNATURE.bind(*args, **kwargs)
    bound.apply_defaults()
    a = bound.arguments
    if not (torch.is_grad_enabled() and any(is_active(t) for t in flat(a.values()))):
        return func(*args, **kwargs)
    if a["static_k"] is not None or a["static_v"] is not None:
        raise UnruledError(
            f"multi_head_attention_forward in {session.path or 'the model'} is given static_k or "
            "static_v, which have no rule; project them with the module's own weights instead"
        )
    run = session.run
    batched = a["query"].dim() == 3
    q, k, v = a["query"], a["key"], a["value"]
    same = (q is k and batched, k is v and batched)  # torch: three views of one sample
    padding, mask = (_additive(a[n], q) for n in ("key_padding_mask", "attn_mask"))
    hinted = a["is_causal"] and padding is None and not a["need_weights"]
    if hinted:
        mask = None  # as torch does: the hint stands for the mask
    if not batched:
        q, k, v = (run(torch.unsqueeze, t, 1) for t in (q, k, v))
        padding = None if padding is None else padding.unsqueeze(0)
    length, batch, _ = q.shape
    heads = a["num_heads"]
    q, k, v = _project(session, a, q, k, v, same)
    if mask is not None and mask.dim() == 2:
        mask = mask.unsqueeze(0)
    if a["bias_k"] is not None:
        k = run(torch.cat, [k, a["bias_k"].repeat(1, batch, 1)])
        v = run(torch.cat, [v, a["bias_v"].repeat(1, batch, 1)])
        padding, mask = _pad(padding), _pad(mask)
    q, k, v = (_heads(session, t, batch * heads) for t in (q, k, v))
    if a["add_zero_attn"]:
        k, v = (run(torch.cat, [t, t.new_zeros(t.shape[0], 1, t.shape[2])], 1) for t in (k, v))
        padding, mask = _pad(padding), _pad(mask)
    if padding is not None:
        padding = padding.view(batch, 1, 1, -1).expand(-1, heads, -1, -1)
        padding = padding.reshape(batch * heads, 1, -1)
        mask = padding if mask is None else run(torch.add, mask, padding)
    p = a["dropout_p"] if a["training"] else 0.0
    if a["need_weights"]:
        out, weights = _explicit(session, q, k, v, mask, p, (batch, heads))
        if a["average_attn_weights"]:
            weights = weights.mean(1)
    else:
        q, k, v = (run(torch.Tensor.view, t, batch, heads, *t.shape[1:]) for t in (q, k, v))
        if mask is not None:  # torch expands a mask of one for all
            one = mask.shape[0] == 1
            mask = mask.unsqueeze(0) if one else mask.view(batch, heads, -1, mask.shape[-1])
        out = run(F.scaled_dot_product_attention, q, k, v, mask, p, hinted)
        out, weights = run(torch.Tensor.permute, out, 2, 0, 1, 3), None
    out = run(torch.Tensor.reshape, out, length * batch, -1)
    out = run(F.linear, out, a["out_proj_weight"], a["out_proj_bias"])
    out = run(torch.Tensor.view, out, length, batch, -1)
    if not batched:
        out = run(torch.squeeze, out, 1)
        weights = None if weights is None else weights.squeeze(0)
    return out, weights


def _explicit(
    session: Session,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    p: float,
    shape: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Attention step by step, for its weights: [tokens, batch * heads, dim], weights."""
    run = session.run
    q = run(torch.mul, q, math.sqrt(1.0 / q.shape[-1]))
    k = run(torch.transpose, k, -2, -1)
    scores = run(torch.bmm, q, k) if mask is None else run(torch.baddbmm, mask, q, k)
    weights = run(F.softmax, scores, dim=-1)
    if p > 0:
        weights = run(F.dropout, weights, p=p)
    out = run(torch.Tensor.view, run(torch.bmm, weights, v), *shape, *q.shape[1:])
    if session.on_heads is not None:
        session.on_heads(session.path, out)
    out = run(torch.transpose, run(torch.flatten, out, 0, 1), 0, 1)
    return out, weights.view(*shape, *weights.shape[1:])


def _project(
    session: Session, a: dict[str, Any], q: Tensor, k: Tensor, v: Tensor, same: tuple[bool, bool]
) -> list[Tensor]:
    """Queries, keys and values [tokens, batch, dim], in as many products as torch makes."""
    bias, width = a["in_proj_bias"], q.shape[-1]
    if a["use_separate_proj_weight"]:
        weights = [a[f"{n}_proj_weight"] for n in "qkv"]
        biases = [None] * 3 if bias is None else bias.chunk(3)
        every = zip((q, k, v), weights, biases, strict=True)
        return [session.run(F.linear, *given) for given in every]
    # which of q, k, v are projected together
    parts = [(q, 3)] if same == (True, True) else [(q, 1), (k, 2)] if same[1] else []
    parts = parts or [(q, 1), (k, 1), (v, 1)]
    sizes = [n * width for _, n in parts]
    weights = a["in_proj_weight"].split(sizes)
    biases = [None] * len(parts) if bias is None else bias.split(sizes)
    out: list[Tensor] = []
    for (t, n), w, b in zip(parts, weights, biases, strict=True):
        out += _unpack(session, session.run(F.linear, t, w, b), n)
    return out


def _unpack(session: Session, t: Tensor, n: int) -> list[Tensor]:
    """[..., n * dim] -> n contiguous tensors [..., dim]."""
    if n == 1:
        return [t]
    t = session.run(torch.unflatten, t, -1, (n, -1))
    t = session.run(torch.Tensor.contiguous, session.run(torch.movedim, t, -2, 0))
    return list(session.run(torch.unbind, t))


def _heads(session: Session, t: Tensor, rows: int) -> Tensor:
    """[tokens, batch, dim] -> [batch * heads, tokens, dim / heads]."""
    t = session.run(torch.Tensor.view, t, t.shape[0], rows, -1)
    out: Tensor = session.run(torch.transpose, t, 0, 1)
    return out


def _additive(mask: Tensor | None, like: Tensor) -> Tensor | None:
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill_(mask, float("-inf"))


def _pad(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else F.pad(mask, (0, 1))
