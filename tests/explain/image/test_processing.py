"""The preprocessing is understood by asking it: bounds, order of colours, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lxt_like.errors import InputError, ModelError
from lxt_like.explain.image import Preprocess, load_image_model

from .conftest import picture, vit

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.5]


def plain(image: Image.Image) -> Tensor:
    """32 x 32 crop, normalised by hand."""
    values = np.asarray(image.resize((32, 32)), dtype=np.float32) / 255
    return torch.from_numpy((values - MEAN) / STD).permute(2, 0, 1).float()


def bgr(image: Image.Image) -> Tensor:
    return plain(image).flip(0)


def test_the_bounds_are_black_and_white(folder: Path) -> None:
    found = load_image_model(folder).preprocess
    for made in (
        found,
        Preprocess.of(plain),
        Preprocess.of({"size": 32, "mean": MEAN, "std": STD}),
    ):
        assert torch.allclose(made.low, torch.tensor([-2.5, -1.6, -0.6]), atol=1e-6)
        assert torch.allclose(made.high, torch.tensor([2.5, 2.4, 1.4]), atol=1e-6)
        assert torch.allclose(made.mean, torch.tensor(MEAN), atol=1e-6)
        assert torch.allclose(made.std, torch.tensor(STD), atol=1e-6)
        assert made.order == (0, 1, 2)
        assert [tuple(b.shape) for b in made.bounds] == [(3, 1, 1)] * 2


@pytest.mark.parametrize("function", [plain, bgr])
def test_the_view_is_what_the_model_saw(function: Any) -> None:
    image = picture(32, 32)
    made = Preprocess.of(function)
    assert np.abs(made.view(made(image)).astype(int) - np.asarray(image)).max() <= 1
    assert made.order == ((2, 1, 0) if function is bgr else (0, 1, 2))


def test_the_order_of_colours_of_a_rotation() -> None:
    """Neither RGB nor BGR: channel 0 is green, 1 blue, 2 red, which is no permutation's inverse."""

    def rolled(image: Image.Image) -> Tensor:
        return plain(image).roll(-1, 0)

    made = Preprocess.of(rolled)
    image = picture(32, 32)
    assert made.order == (1, 2, 0)
    assert np.abs(made.view(made(image)).astype(int) - np.asarray(image)).max() <= 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "expected a way to prepare images, got int"),
        (lambda image: plain(image)[:1], "three channels"),
        (lambda image: "pixels", "float pixels .* got str"),
        (lambda image: -plain(image), "white above black"),
        (lambda image: plain(image).exp(), "no affine function"),
        (lambda image: plain(image).mean(0, keepdim=True).expand(3, -1, -1), "mixes the colours"),
        ({"mean": 0.5}, "a processor as a dict has size"),
        ({"size": 0}, "size is a side"),
        ({"size": 32, "std": 0}, "std must be positive"),
        ({"size": 32, "mean": (1, 2)}, "one for each of 3 channels"),
    ],
)
def test_what_is_no_preprocessing(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Preprocess.of(given)


def test_a_model_that_does_not_say_how_images_are_prepared(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no preprocessing is known .* give processor="):
        load_image_model(vit())
    vit().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no preprocessing beside the model .*processor="):
        load_image_model(tmp_path)
