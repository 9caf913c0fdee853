"""Tiny models with random weights, and pictures and texts for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from ..explain import makers

NAMES = ("cat", "sea lion")


def vit(folder: Path) -> Path:
    """A vision transformer of 2 layers with 16 patches."""
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=16, patch_size=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, id2label=dict(enumerate(NAMES)),
        label2id={name: i for i, name in enumerate(NAMES)},
    )  # fmt: skip
    model = ViTForImageClassification(config)
    with torch.no_grad():  # so that the logits are worth explaining
        model.classifier.weight.normal_(0, 1)
        for parameter in model.vit.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    model.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def bert(folder: Path) -> Path:
    """A BERT with two classes and its tokenizer."""
    torch.manual_seed(0)
    tokenizer = makers.wordpiece()
    makers.bert(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def pictures(folder: Path, count: int = 6) -> Path:
    """Noise in the two classes' folders."""
    rng = np.random.default_rng(0)
    for i in range(count):
        inside = folder / ("cat", "Sea_Lion")[i % 2]
        inside.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(inside / f"{i:02d}.png")
    return folder
