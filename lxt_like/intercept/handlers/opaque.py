"""Custom autograd functions of transformers; what a handler here calls is intercepted."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...rules.base import Gradient
from ..functions import handles_function, opened
from ..graph import claim_node
from ..session import Session

_MODELS = "transformers.models"

# written by hand to save memory; their forwards are plain torch operations
for _name in (
    "bloom.modeling_bloom.GeLUFunction",
    "reformer.modeling_reformer.ReverseSort",
    "recurrent_gemma.modeling_recurrent_gemma.SqrtBoundDerivative",
):
    handles_function(f"{_MODELS}.{_name}")(opened)


@handles_function(f"{_MODELS}.yoso.modeling_yoso.YosoCumulation")
def _yoso(session: Session, cls: Any, args: tuple[Any, ...]) -> Any:
    """Attention by expected hash collisions, (1 - acos(q k) / pi)^n: constant weights on values.

    Source: Zeng et al. 2021, arXiv:2111.09714, equation 4.
    """
    query_mask, key_mask, query, key, value, config = args
    if isinstance(session.rule("attention", torch.matmul), Gradient):
        out = cls.__mro__[1].apply.__func__(cls, *args)
        claim_node(out)
        return out
    with torch.no_grad():
        cosine = torch.matmul(query, key.transpose(-1, -2))
        weights = (1 - torch.acos(cosine) / math.pi) ** config["hash_code_len"]
        weights = weights * query_mask[:, :, None] * key_mask[:, None, :]
    return torch.matmul(weights, value)


@handles_function(f"{_MODELS}.sew_d.modeling_sew_d.XSoftmax")
def _masked_softmax(session: Session, cls: Any, args: tuple[Any, ...]) -> Any:
    """Its forward overwrites what softmax's backward needs; this is the same out of place."""
    x, mask, dim = args
    hidden = ~mask.to(torch.bool)
    weights = torch.softmax(x.masked_fill(hidden, torch.finfo(x.dtype).min), dim)
    return weights.masked_fill(hidden, 0)


@handles_function(f"{_MODELS}.reformer.modeling_reformer._ReversibleFunction")
def _reversible(session: Session, cls: Any, args: tuple[Any, ...]) -> Any:
    """Reversible layers, y1 = x1 + f(x2) and y2 = x2 + g(y1), with an ordinary graph.

    Source: Kitaev et al. 2020, arXiv:2001.04451, equation 9.
    """
    both, layers, mask, hashes, _, attentions, buckets, cache, length, wants, _ = args
    hidden, attended = torch.chunk(both, 2, dim=-1)
    if attentions or wants:
        session.refuse("reversible layers are explained without their hidden states or attentions")
    for layer in layers:
        found = layer.attention(
            hidden_states=hidden,
            attention_mask=mask,
            num_hashes=hashes,
            past_buckets_states=buckets,
            use_cache=cache,
            orig_sequence_length=length,
            output_attentions=False,
        )
        attended = attended + found.hidden_states
        hidden = hidden + layer.feed_forward(attended)
    return torch.cat([attended, hidden], dim=-1)
