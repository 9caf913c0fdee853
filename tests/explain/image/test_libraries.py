"""Models of torchvision and timm: the real ones where they can be imported, stand-ins of their
interface everywhere."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lxt_like as lxt
from lxt_like.explain.image import is_image_model, load_image_model

from .conftest import picture
from .test_processing import plain
from .test_run import Net


class Weights:
    """What a member of torchvision's weights is made of."""

    meta = {"categories": ["cat", "dog", "ship"]}  # noqa: RUF012

    def transforms(self) -> Any:
        return plain


def test_weights_know_preprocessing_and_classes() -> None:
    ex = lxt.explain(Net(), picture(), processor=Weights(), target="ship")
    assert ex.target.index == 2 and ex.pixels.shape == (32, 32, 3)
    want = lxt.explain(Net(), picture(), processor=plain, target=2)
    assert np.array_equal(ex.channels, want.channels) and want.target.label == "2"


class Timm(Net):
    """What a model of timm says of itself."""

    num_classes = 3
    pretrained_cfg = {"architecture": "tiny", "label_names": ["cat", "dog", "ship"]}  # noqa: RUF012


def test_the_data_configuration_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def resolve(given: dict[str, Any], model: nn.Module) -> dict[str, Any]:
        asked.append(model)
        return {"input_size": (3, 32, 32)}

    def create(input_size: tuple[int, ...]) -> Any:
        assert input_size == (3, 32, 32)
        return plain

    data = SimpleNamespace(resolve_data_config=resolve, create_transform=create)
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(data=data))
    model = Timm()
    assert is_image_model(model)
    loaded = load_image_model(model)
    assert asked == [model] and loaded.name == "tiny" and loaded.labels == ["cat", "dog", "ship"]


@pytest.fixture
def libraries() -> tuple[Any, Any]:
    try:
        import timm
        import torchvision
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm and torchvision that fit this torch are not installed: {error}")
    return timm, torchvision


def test_the_real_timm(libraries: tuple[Any, Any]) -> None:
    timm, _ = libraries
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False)
    loaded = load_image_model(model)
    assert loaded.cells.tokens and loaded.prefix == 1
    assert loaded.labels[:1] == ["tench"]
    ex = lxt.explain(loaded, picture())
    assert ex.account is not None and abs(ex.account.gap) < 1e-4


def test_the_real_torchvision(libraries: tuple[Any, Any]) -> None:
    _, torchvision = libraries
    weights = torchvision.models.ViT_B_16_Weights.DEFAULT
    torch.manual_seed(0)
    model = torchvision.models.VisionTransformer(224, 16, 2, 2, 32, 64)
    for parameter in (model.heads.head.weight, model.class_token):  # zero as they are made
        nn.init.normal_(parameter)
    loaded = load_image_model(model, weights)
    assert loaded.cells.tokens and loaded.prefix == 1 and loaded.labels[0] == "tench"
    ex = lxt.explain(loaded, picture(), target="tench")
    assert [layer.name for layer in ex.layers] == [
        f"encoder.layers.encoder_layer_{i}" for i in range(2)
    ]
    assert ex.account is not None and {"cls", "position"} <= set(ex.account.entries)
