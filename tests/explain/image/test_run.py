"""An explained image against the attribution it is made of, and the account in names."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForImageClassification, pipeline

import lxt_like as lxt
from lxt_like.errors import InputError, ModelError, SkippedWarning, TargetError
from lxt_like.explain.image.model import ImageModel
from lxt_like.explain.image.run import boxed
from lxt_like.explanation import ImageData

from .conftest import NAMES, folder_of, picture, vit
from .test_grid import deit, dino

MEAN, STD = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.25, 0.5])


class Net(nn.Module):
    """A small CNN that takes its pixels as a tensor."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> ImageModel:
    return lxt.load_image_model(folder)


def test_numbers_are_those_of_attribute(folder: Path, loaded: ImageModel) -> None:
    image = picture(32, 32)  # the size that the model takes: libraries resize each in its own way
    ex = lxt.explain(folder, image)
    # the oracle prepares the picture by itself
    values = np.asarray(image, dtype=np.float64) / 255
    pixels = torch.from_numpy((values - MEAN) / STD).permute(2, 0, 1)[None].float()
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    want = lxt.attribute(model, {"pixel_values": pixels}, ledger=True)
    scale = float(want.relevance.abs().max())
    assert np.abs(ex.channels - want.relevance[0].numpy()).max() < 1e-3 * scale
    assert ex.relevance.shape == (32, 32) and ex.channels.shape == (3, 32, 32)
    assert np.allclose(ex.relevance, ex.channels.sum(0), atol=1e-6 * scale)
    blocks = ex.relevance.reshape(4, 8, 4, 8).sum((1, 3))
    assert np.allclose(ex.patches, blocks, atol=1e-5 * scale)
    assert ex.target.score == pytest.approx(float(want.score[0]), rel=1e-4)
    logits = model(pixel_values=pixels).logits[0].detach()
    top = logits.argsort(descending=True).tolist()
    assert [one.label for one in ex.top] == [NAMES[i] for i in top]
    assert ex.target.index == top[0] and ex.target.label == NAMES[top[0]]
    assert ex.target.probability == pytest.approx(float(F.softmax(logits, 0)[top[0]]), rel=1e-4)
    assert np.abs(ex.pixels.astype(int) - np.asarray(image)).max() <= 1


PARTS: list[tuple[Any, list[Any]]] = [
    (np.array([0, 1, 2, 0]), [0, 1, 2, 0]),
    (lxt.Logit([0, 1, "ship", 0]), [0, 1, "ship", 0]),
    (lxt.Logit(torch.tensor([0, 1, 2, 0])), [0, 1, 2, 0]),
    (lxt.LogProb([2, 1, 2, 0]), [lxt.LogProb(i) for i in (2, 1, 2, 0)]),
    (lxt.Contrast([0, 1, 0, 0], 2), [lxt.Contrast(i, 2) for i in (0, 1, 0, 0)]),
]


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3, 4])
@pytest.mark.parametrize(("given", "each"), PARTS, ids=lambda v: str(v)[:25])
def test_every_image_has_its_part_of_a_target(
    loaded: ImageModel, given: Any, each: list[Any], batch_size: int | None
) -> None:
    images = [picture(32, 32, seed=i) for i in range(4)]
    ledger = batch_size is None
    found = lxt.explain(loaded, images, target=given, batch_size=batch_size, ledger=ledger)
    for ex, image, target in zip(found, images, each, strict=True):
        alone = lxt.explain(loaded, image, target=target, ledger=ledger)
        assert ex.target.label == alone.target.label
        assert np.abs(ex.channels - alone.channels).max() < 1e-4 * np.abs(alone.channels).max()


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_a_part_of_a_target_is_not_repeated(loaded: ImageModel, batch_size: int) -> None:
    images = [picture(32, 32, seed=i) for i in range(4)]
    for given in (lxt.Logit([0, 1]), lxt.Contrast([0, 1], 2), np.array([0, 1])):
        with pytest.raises(TargetError, match="one target for each of the 4 images, got 2 entries"):
            lxt.explain(loaded, images, target=given, batch_size=batch_size, ledger=False)


def test_the_log_probability_of_a_label_is_that_of_the_probability_shown(tmp_path: Path) -> None:
    folder = folder_of(vit(), tmp_path)
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    model.config.problem_type = "multi_label_classification"
    pixels = torch.rand(1, 3, 32, 32)
    ex = lxt.explain(model, pixels, target=lxt.LogProb("dog"), ledger=True)
    z = float(model(pixels).logits[0, 1].detach())
    assert ex[0].target.probability == pytest.approx(1 / (1 + np.exp(-z)), abs=1e-5)
    assert ex[0].target.score == pytest.approx(np.log(ex[0].target.probability), abs=1e-5)
    assert ex[0].account.gap == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("build", "tokens"),
    [(vit, {"cls"}), (deit, {"cls", "distillation"}), (dino, {"cls", "register"})],
)
def test_the_account_names_tokens_and_positions(build: Any, tokens: set[str]) -> None:
    model = build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    ex = lxt.explain(model, picture(), processor={"size": 32}, composite="cp_lrp")
    account = ex.account
    assert account is not None
    assert {"position", "bias", *tokens} <= set(account.entries)
    assert "constant" not in account.entries
    total = account.inputs + sum(account.entries.values())
    assert total == pytest.approx(account.score, abs=1e-4 * sum(map(abs, account.entries.values())))
    assert account.inputs == pytest.approx(float(ex.relevance.sum()), abs=1e-4)


def test_a_token_that_is_zero_keeps_nothing(folder: Path) -> None:
    """The entry ``cls`` is the token's own: without it, it is gone."""
    model = vit()
    with torch.no_grad():
        model.vit.embeddings.cls_token.zero_()
    ex = lxt.explain(model, picture(), processor={"size": 32})
    assert ex.account is not None and "cls" not in ex.account.entries


def test_a_contrast_keeps_both_sides(loaded: ImageModel) -> None:
    ex = lxt.explain(loaded, picture(), target=lxt.Contrast("dog", "ship"))
    dog, ship = (lxt.explain(loaded, picture(), target=name) for name in ("dog", "ship"))
    scale = np.abs(ex.relevance).max()
    assert [side.label for side in ex.sides] == ["dog", "ship"]
    assert np.abs(ex.sides[0].relevance - dog.relevance).max() < 1e-5 * scale
    assert np.abs(ex.sides[1].relevance - ship.relevance).max() < 1e-5 * scale
    assert np.abs(dog.relevance - ship.relevance - ex.relevance).max() < 1e-4 * scale
    assert ex.target.label == "dog rather than ship" and ex.target.index is None
    assert ex.target.score == pytest.approx(dog.target.score - ship.target.score, abs=1e-5)


def test_several_at_once_are_those_one_by_one(loaded: ImageModel) -> None:
    images = [picture(seed=i) for i in range(3)]
    together = lxt.explain(loaded, images, batch_size=2, target=["cat", 1, "ship"])
    for image, target, got in zip(images, NAMES, together, strict=True):
        alone = lxt.explain(loaded, image, target=target)
        assert got.target.label == target
        assert np.allclose(got.channels, alone.channels, atol=1e-5)
        assert got.account is not None and abs(got.account.gap) < 1e-4
        assert got.layers[-1].total == pytest.approx(alone.layers[-1].total, abs=1e-4)


def test_layers_hold_what_attribute_says(loaded: ImageModel) -> None:
    ex = lxt.explain(loaded, picture())
    pixels = loaded.batch([picture()])
    want = lxt.attribute(loaded.model, {"pixel_values": pixels}, layers=["vit.layers.*"])
    names = [layer.name for layer in ex.layers]
    assert names == [f"vit.layers.{i}" for i in range(4)]
    for layer in ex.layers:
        tokens = want.layers[layer.name][0].sum(-1).double()
        assert layer.special == pytest.approx(float(tokens[0]), abs=1e-5)
        assert np.allclose(layer.patches.ravel(), tokens[1:].numpy(), atol=1e-5)
    assert ex.layers[-1].patches.any() == False  # noqa: E712 - only CLS is read in the end
    assert lxt.explain(loaded, picture(), trace=False).layers == ()


def test_a_cnn_that_takes_a_tensor() -> None:
    model = Net()
    ex = lxt.explain(model, picture(), processor={"size": 28}, labels=list("abc"), target="b")
    assert ex.grid == (14, 14) and ex.cell == (2, 2) and ex.target.label == "b"
    assert [layer.patches.shape for layer in ex.layers] == [(28, 28), (14, 14)]
    seven = lxt.explain(model, picture(), processor={"size": 28}, cell=4)
    assert seven.grid == (7, 7) and model.training


def test_pixels_that_are_already_prepared(loaded: ImageModel) -> None:
    pixels = loaded.batch([picture()])
    ex = lxt.explain(loaded, picture())
    assert np.allclose(lxt.explain(loaded, pixels[0]).channels, ex.channels, atol=1e-6)
    (also,) = lxt.explain(loaded, pixels)
    assert np.allclose(also.channels, ex.channels, atol=1e-6)
    with pytest.raises(InputError, match=r"as the model takes it, \[3, H, W\]"):
        lxt.explain(loaded, pixels[0, 0])


def test_the_box_is_that_of_the_pixels(loaded: ImageModel) -> None:
    made, name = boxed("attnlrp_gamma_box", loaded.preprocess)
    (box,) = made.first_layer
    assert name == "attnlrp_gamma_box"
    want = lxt.rules.ZBox(
        torch.tensor([-2.5, -1.6, -0.6]).view(3, 1, 1), torch.tensor([2.5, 2.4, 1.4]).view(3, 1, 1)
    )
    assert torch.allclose(box.low.tensor(), want.low.tensor(), atol=1e-6)  # type: ignore[attr-defined]
    assert torch.allclose(box.high.tensor(), want.high.tensor(), atol=1e-6)  # type: ignore[attr-defined]
    ex = lxt.explain(loaded, picture(), composite="attnlrp_gamma_box")
    assert ex.composite == "attnlrp_gamma_box" and ex.account is not None
    assert abs(ex.account.gap) < 1e-4


@pytest.mark.parametrize("given", ["path", "str", "row", "array", "pil", "list"])
def test_the_front_door_knows_an_image(folder: Path, photo: Path, given: str) -> None:
    forms: dict[str, Any] = {
        "path": photo,
        "str": str(photo),
        "row": {"image": picture(), "label": 0},
        "array": np.asarray(picture()),
        "pil": picture(),
        "list": [str(photo)],
    }
    found = lxt.explain(str(folder), forms[given])
    assert isinstance(found[0] if given == "list" else found, lxt.ImageExplanation)


def test_the_front_door_knows_a_text() -> None:
    assert isinstance(lxt.explain(lxt.demo.sentiment(), "photo.jpg"), lxt.TextExplanation)
    with pytest.raises(InputError, match="labels: for images only"):
        lxt.explain(lxt.demo.sentiment(), {"question": "a", "context": "b"}, labels=["a"])


def test_options_of_the_other_kind(loaded: ImageModel) -> None:
    with pytest.raises(InputError, match="window: for texts only"):
        lxt.explain(loaded, picture(), window=8)
    with pytest.raises(InputError, match="on_error is one of raise, skip"):
        lxt.explain(loaded, picture(), on_error="ignore")
    with pytest.raises(TargetError, match=r"unknown class 'horse'.*'cat', 'dog', 'ship'"):
        lxt.explain(loaded, picture(), target="horse")
    with pytest.raises(InputError, match="expected one target for the image, got 2 entries"):
        lxt.explain(loaded, [picture()], target=["cat", "dog"])
    with pytest.raises(InputError, match="2 labels for the 3 classes"):
        lxt.explain(vit(), picture(), processor={"size": 32}, labels=["a", "b"])


def test_a_model_of_texts_is_no_model_of_images() -> None:
    with pytest.raises(ModelError, match="expected an image classifier, got BertFor"):
        lxt.explain(lxt.demo.sentiment(), picture())


def test_bad_images_are_named_or_skipped(loaded: ImageModel, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "empty.png").touch()
    many = [photo, tmp_path / "empty.png", photo]
    with pytest.raises(InputError, match=r"image 1: 'empty.png' is an empty file"):
        lxt.explain(loaded, many)
    with pytest.warns(SkippedWarning, match="image 1 was skipped: 'empty.png'"):
        found = lxt.explain(loaded, many, on_error="skip", target=[0, 1, 2])
    assert [ex.target.index for ex in found] == [0, 2]
    assert lxt.explain(loaded, []) == []


def test_a_pipeline(folder: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = pipeline("image-classification", model=str(folder))
    ex = lxt.explain(pipe, picture())
    assert np.allclose(ex.channels, lxt.explain(folder_of(vit(), tmp_path), picture()).channels)


def test_equality_and_the_strongest_patches(loaded: ImageModel) -> None:
    one, same = (lxt.explain(loaded, picture()) for _ in range(2))
    assert one == same and one != lxt.explain(loaded, picture(seed=1))
    assert isinstance(one, ImageData)
    row, col, value = one.top_patches(1)[0]
    assert value == one.patches[row, col] and abs(value) == np.abs(one.patches).max()
    with pytest.raises(InputError, match="number of patches"):
        one.top_patches(-1)
