"""Tables that add up the rows that they look up: ``nn.EmbeddingBag``, explained row by row."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..intercept.handlers.valued import valued


def rows_of(bag: nn.EmbeddingBag, ids: Tensor) -> Tensor:
    """The rows that ``bag`` has looked up, [*ids.shape, width]."""
    return bag.weight.detach()[ids]


def bagged(
    bag: nn.EmbeddingBag,
    rows: Tensor,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    value: Tensor,
) -> Tensor:
    """``value`` [bags, width], which ``bag(*args, **kwargs)`` has returned, made of ``rows``.

    ``rows``: as :func:`rows_of` returns them; their sum, mean or maximum bag by bag.
    """
    ids, offsets, weights = _arguments(*args, **kwargs)
    if offsets is None:
        at = torch.arange(len(ids), device=ids.device).repeat_interleave(ids.shape[1])
    else:
        places = torch.arange(ids.numel(), device=ids.device)
        at = torch.searchsorted(offsets.contiguous(), places, right=True) - 1
    ids, rows = ids.reshape(-1), rows.reshape(-1, rows.shape[-1])
    if weights is not None:
        rows = rows * weights.detach().reshape(-1, 1)
    if bag.padding_idx is not None:
        kept = ids != bag.padding_idx
        at, rows = at[kept], rows[kept]
    blank = torch.zeros_like(value, requires_grad=False)
    if bag.mode == "max":
        places = at[:, None].expand_as(rows)
        return valued(blank.scatter_reduce(0, places, rows, "amax", include_self=False), value)
    total = blank.index_add(0, at, rows)
    if bag.mode == "mean":
        sizes = torch.bincount(at, minlength=len(value)).clamp_min(1)
        total = total / sizes[:, None]
    return valued(total, value)


def _arguments(
    input: Tensor,  # as nn.EmbeddingBag calls it
    offsets: Tensor | None = None,
    per_sample_weights: Tensor | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    return input, offsets, per_sample_weights
