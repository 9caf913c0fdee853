"""Tiny random image classifiers and pictures that are made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

NAMES = ("cat", "dog", "ship")


def vit() -> ViTForImageClassification:
    """Patches of 8 in images of 32 x 32, so 4 x 4 of them; no parameter is zero."""
    torch.manual_seed(0)
    model = ViTForImageClassification(
        ViTConfig(
            hidden_size=24,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=48,
            image_size=32,
            patch_size=8,
            num_labels=3,
            id2label=dict(enumerate(NAMES)),
            label2id={name: i for i, name in enumerate(NAMES)},
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def folder_of(model: ViTForImageClassification, folder: Path) -> Path:
    """Saved with a preprocessing of three different channels."""
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    model.save_pretrained(folder)
    ViTImageProcessorPil(
        size={"height": 32, "width": 32}, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.25, 0.5]
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random ViT and its preprocessing as a model folder."""
    return folder_of(vit(), tmp_path_factory.mktemp("vit"))


def picture(width: int = 50, height: int = 40, seed: int = 0) -> Image.Image:
    """Smooth noise in colour."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture in a file."""
    path = tmp_path / "photo.png"
    picture().save(path)
    return path
