"""The attention weights of any model, observed while it runs."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...rules.attention import repeated, scores_of

_SOFTMAX = (torch.softmax, F.softmax, Tensor.softmax)
_MULTIHEAD = inspect.signature(F.multi_head_attention_forward)


class Attentions(TorchFunctionMode):
    """Collects attention weights [batch, heads, tokens, tokens], each in the graph of the output.

    Fused attention is computed in the open, softmax(q k^T scale + mask) v, so that its weights
    exist and take part in the backward; attention that a model writes out is seen at its softmax,
    ``torch.nn.MultiheadAttention`` is asked for its weights.

    Args:
        tokens: how many there are; attention over anything else is left alone.
    """

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.weights: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            weights, value = opened(*args, **kwargs)
            self._see(weights)
            return weights @ value
        if func is F.multi_head_attention_forward:
            bound = _MULTIHEAD.bind(*args, **kwargs)
            bound.arguments |= {"need_weights": True, "average_attn_weights": False}
            answer = func(*bound.args, **bound.kwargs)
            self._see(answer[1])
            return answer
        out = func(*args, **kwargs)
        if func in _SOFTMAX:
            self._see(out)
        return out

    def _see(self, weights: Any) -> None:
        square = (self.tokens, self.tokens)
        if isinstance(weights, Tensor) and weights.dim() == 4 and weights.shape[-2:] == square:
            if torch.is_grad_enabled() and not weights.requires_grad:
                weights.requires_grad_()  # a model with frozen weights has no graph before here
            self.weights.append(weights)


def opened(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    """The weights of ``scaled_dot_product_attention`` and the values they are for."""
    if enable_gqa:
        key, value = repeated(key, query), repeated(value, query)
    scores = scores_of(query, key, attn_mask, is_causal, scale)
    return scores.softmax(-1), value
