"""Relevance at a hidden layer as a map of places in the image, whatever the layer's layout."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from ...explanation import LayerMap
from .grid import Grid

_MOST = 16


def blocks(model: nn.Module) -> list[str]:
    """The modules whose outputs tell the story: the repeated blocks, or else convolutions."""
    stacks = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential)
        and len(module) > 1
        and all(list(child.children()) for child in module)
    ]
    most = max((len(module) for _, module in stacks), default=0)
    chosen = [s for s in stacks if len(s[1]) == most][:1] if most >= 4 else stacks
    names = [f"{name}.{child}" for name, module in chosen for child, _ in module.named_children()]
    if not names:
        names = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    step = math.ceil(len(names) / _MOST)
    return names[::-1][::step][::-1] if step else []  # the last one is always among them


def layer_maps(
    layers: Mapping[str, Tensor], sample: int, batch: int, cells: Grid, aspect: float
) -> tuple[LayerMap, ...]:
    """Of the relevance at named layers, [batch, ...] each, the maps of one sample.

    A layer whose layout is not understood (windows in the batch, say) is left out.
    """
    maps = []
    for name, relevance in layers.items():
        if relevance.shape[0] != batch:
            continue
        found = _map(relevance[sample].detach().double().cpu(), cells, aspect)
        if found is not None:
            patches, special = found
            maps.append(LayerMap(name, patches.numpy().astype(np.float32), special))
    return tuple(maps)


def _map(value: Tensor, cells: Grid, aspect: float) -> tuple[Tensor, float] | None:
    """[rows, cols] and what belongs to no place; ``aspect``: the image's height / width."""
    if value.dim() == 3:
        channels_first = _fits(value.shape[1], value.shape[2], aspect)
        if channels_first or _fits(value.shape[0], value.shape[1], aspect):
            return value.sum(0 if channels_first else 2), 0.0
        return None
    if value.dim() != 2:
        return None
    tokens = value.sum(-1)
    patches = cells.rows * cells.cols
    if cells.tokens and len(tokens) in (patches, patches + cells.prefix):
        prefix = len(tokens) - patches
        return tokens[prefix:].unflatten(0, (cells.rows, cells.cols)), float(tokens[:prefix].sum())
    rows = round(math.sqrt(len(tokens) * aspect))
    if rows and len(tokens) % rows == 0 and _fits(rows, len(tokens) // rows, aspect):
        return tokens.unflatten(0, (rows, len(tokens) // rows)), 0.0
    return None


def _fits(rows: int, cols: int, aspect: float) -> bool:
    """Whether a map has the image's shape, up to one row or column cut off."""
    return abs(rows - cols * aspect) < max(1.0, aspect) + 1e-9
