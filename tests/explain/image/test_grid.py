"""Patches are found by watching a forward, and sums over them against loops."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import (
    DeiTConfig,
    DeiTForImageClassification,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    SwinConfig,
    SwinForImageClassification,
)

from lxt_like.errors import InputError
from lxt_like.explain.image.grid import Grid, find_grid, given_grid
from lxt_like.explanation import cells_of

from .conftest import vit

SMALL: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}


def deit() -> nn.Module:
    return DeiTForImageClassification(DeiTConfig(**SMALL))


def dino() -> nn.Module:
    config = Dinov2WithRegistersConfig(**SMALL, num_register_tokens=4)
    return Dinov2WithRegistersForImageClassification(config)


def swin() -> nn.Module:
    return SwinForImageClassification(
        SwinConfig(image_size=224, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2])
    )


def resnet() -> nn.Module:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    return ResNetForImageClassification(config)


def run(model: nn.Module, pixels: Tensor) -> Any:
    return model(pixel_values=pixels)


@pytest.mark.parametrize(
    ("build", "size", "expected"),
    [
        (vit, (32, 32), Grid(4, 4, (8, 8), 1, True)),
        (deit, (32, 32), Grid(4, 4, (8, 8), 2, True)),
        (dino, (32, 48), Grid(4, 6, (8, 8), 5, True)),
        (swin, (224, 224), Grid(14, 14, (16, 16))),
        (resnet, (64, 56), Grid(12, 14, (5, 4))),
    ],
    ids="vit cls+distillation cls+registers swin cnn".split(),
)
def test_patches_of(build: Any, size: tuple[int, int], expected: Grid) -> None:
    model = build().eval()
    pixels = torch.randn(1, 3, *size)
    assert find_grid(model, pixels, partial(run, model)) == expected
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize(("height", "width"), [(32, 48), (35, 50), (9, 9)])
def test_sums_over_cells(height: int, width: int) -> None:
    grid = given_grid((8, 9), height, width)
    values = torch.randn(2, height, width, dtype=torch.float64)
    want = torch.zeros(2, grid.rows, grid.cols, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            cell = min(y // 8, grid.rows - 1), min(x // 9, grid.cols - 1)
            want[:, *cell] += values[:, y, x]
            assert grid.index(height, width)[y, x] == cell[0] * grid.cols + cell[1]
    assert torch.allclose(grid.sum(values), want)
    also = cells_of(values[0].numpy(), grid.cell, (grid.rows, grid.cols))
    assert np.allclose(also, want[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("cell", [0, (4,), (4, 40), "8"])
def test_cells_that_do_not_fit(cell: Any) -> None:
    with pytest.raises((InputError, ValueError), match="cell"):
        given_grid(cell, 32, 32)
