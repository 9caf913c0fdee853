"""Relevance by channel, neuron or feature of a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError


def channel_axis(relevance: Tensor) -> int:
    """Channels of [batch, C, H, W] and [batch, C, D, H, W] are dimension 1, features the last."""
    if relevance.dim() < 2:
        raise InputError(f"no channels in a layer of shape {tuple(relevance.shape)}")
    return 1 if relevance.dim() >= 4 else -1


def channels(relevance: Tensor, axis: int | None = None) -> Tensor:
    """Relevance summed over all but the batch and the channels: [batch, channels].

    Args:
        relevance: of a layer, as ``Attribution.layers`` has it.
        axis: of the channels; by default 1 for images [batch, C, H, W], the last for tokens
            [batch, tokens, width] and features [batch, width].
    """
    at = (channel_axis(relevance) if axis is None else axis) % relevance.dim()
    if at == 0:
        raise InputError("axis 0 is the batch")
    return relevance.movedim(at, 1).flatten(2).sum(-1) if relevance.dim() > 2 else relevance


def top_channels(relevance: Tensor, k: int = 5, axis: int | None = None) -> tuple[Tensor, Tensor]:
    """The ``k`` channels with the largest |relevance|: (values, indices), [batch, k] each."""
    summed = channels(relevance, axis)
    at = summed.abs().topk(min(k, summed.shape[1]), dim=1).indices
    return torch.gather(summed, 1, at), at
