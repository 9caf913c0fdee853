"""Products of the backward that leave out the rows, mostly tokens, to which no relevance comes.

A score reads few tokens: a classifier the first, a language model the last.  Behind the last
attention nothing comes to the others, so that their rows of the gradient are 0.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import RuleFunction, own

FEW = 0.5
"""The share of rows up to which picking them out is worth it."""


def live_rows(g: Tensor) -> Tensor | None:
    """The rows of ``g`` [rows, features > 0] that are not all 0, by index; None: most of them."""
    live = g.abs().amax(1).ne_(0).nonzero().squeeze(1)  # NaN is not 0
    return live if len(live) <= FEW * len(g) else None


def times_weight(g: Tensor, weight: Tensor) -> Tensor:
    """``g`` [..., out] times ``weight`` [out, in]: [..., in]."""
    if not g.numel():
        return g.new_zeros(*g.shape[:-1], weight.shape[1])
    flat = g.reshape(-1, g.shape[-1])
    live = live_rows(flat)
    if live is None:
        out = flat @ weight
    else:
        out = flat.new_zeros(len(flat), weight.shape[1])
        out.index_copy_(0, live, flat.index_select(0, live) @ weight)
    return out.view(*g.shape[:-1], weight.shape[1])


class LinearByRows(RuleFunction):
    """F.linear, bit for bit, with its plain gradient for x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.dtype = x.dtype
        return own(F.linear(x, weight, bias))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        weight = weight.to(g.dtype)
        # to be differentiated once more: rows that are 0 have a slope
        gx = g @ weight if torch.is_grad_enabled() else times_weight(g, weight)
        return gx.to(ctx.dtype), None, None


def linear_by_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear of frozen weights, for a backward to which relevance may come in few rows.

    On the CPU alone: elsewhere, counting the rows would have the program wait for the device.
    """
    if _has_rows(x, weight):
        return LinearByRows.apply(x, weight, bias)
    return F.linear(x, weight, bias)


def _has_rows(x: Tensor, weight: Tensor) -> bool:
    return (
        x.dim() > 1
        and weight.dim() == 2
        and type(weight) in (Tensor, nn.Parameter)  # no quantised or sharded one
        and x.requires_grad
        and x.is_floating_point()
        and weight.is_floating_point()
        and x.device.type == "cpu"
        and torch.is_grad_enabled()
    )
