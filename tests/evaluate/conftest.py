"""Tiny random models as evaluation tasks, and an additive one whose true attribution is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification

from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.task import Row
from lxt_like.evaluate.text import TextTask
from lxt_like.explain.loading import TextModel
from tests.explain import makers

from . import tiny

PROCESSOR = {"size": 32, "mean": 0.5, "std": 0.25}
TEXTS = ["a good film", "dull, not funny", "the film is not good, the grip is", "funny"]


@pytest.fixture(scope="session")
def text_task() -> TextTask:
    tokenizer = makers.wordpiece()
    model = makers.bert(tokenizer, 3, id2label={0: "bad", 1: "good", 2: "mixed"})
    return TextTask(TextModel(model.eval(), tokenizer, "tiny"))


@pytest.fixture
def texts() -> list[Row]:
    return [Row(f"t{i}", text) for i, text in enumerate(TEXTS)]


def vit(seed: int = 0, **options: Any) -> ViTForImageClassification:
    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
        **{"num_labels": 4, **options},
    )
    model = ViTForImageClassification(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.15 * torch.randn(p.shape))
    return model


@pytest.fixture(scope="session")
def image_task() -> ImageTask:
    return ImageTask.load(vit(), PROCESSOR)


def pictures(count: int) -> list[Row]:
    made = np.random.default_rng(0).integers(0, 255, (count, 32, 32, 3)).astype("uint8")
    return [Row(f"i{k}", picture) for k, picture in enumerate(made)]


@pytest.fixture
def images() -> list[Row]:
    return pictures(3)


class Additive(nn.Module):
    """logit_c = sum over patches of weight [c, patch] x the patch's mean pixel."""

    def __init__(self, rows: int, cols: int, size: tuple[int, int]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(2, rows * cols, generator=generator))
        self.cell = (size[0] // rows, size[1] // cols)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = nn.functional.avg_pool2d(pixels.mean(1, keepdim=True), self.cell).flatten(1)
        return patches @ self.weight.T


@pytest.fixture
def additive() -> ImageTask:
    """Six patches; removed by ``zero`` each takes its own share and nothing else."""
    model = Additive(2, 3, (16, 24))
    return ImageTask.load(model, {"size": (16, 24), "mean": 0.2, "std": 0.5}, cell=8)


@pytest.fixture(scope="session")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny vision transformer as it lies on disk, with its image processor."""
    return tiny.vit(tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny text classifier as it lies on disk, with its tokenizer."""
    return tiny.bert(tmp_path_factory.mktemp("bert"))
