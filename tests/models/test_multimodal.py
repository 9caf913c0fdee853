"""The zoo's multimodal models: as many places as features, and an image that reaches the score."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.models import multimodal, zoo

# type -> places a sample, from each model's description at 4 x 4 patches of a 32 x 32 image
COUNTS = {
    "llava": 16,  # one a patch, without the class token
    "gemma3": 4,  # pooled to mm_tokens_per_image
    "qwen2_vl": 4,  # merged 2 x 2
    "qwen3_vl": 4,
    "aria": 4,  # queries for 16 patches
    "blip-2": 4,  # queries
    "hunyuan_vl": 8,  # 2 rows of 2 and a line break, a start and an end
}


@pytest.mark.parametrize("model_type", COUNTS)
def test_the_text_has_as_many_places_as_the_image_has_features(model_type: str) -> None:
    model: Any = zoo.build(model_type, "image-text-to-text")
    given = zoo.example(model)
    places = (given["input_ids"] == multimodal.PLACES["image"]).sum(1)
    assert places.tolist() == [COUNTS[model_type]] * 2
    assert given["input_ids"].shape == given["attention_mask"].shape


@pytest.mark.parametrize("model_type", ["llava", "gemma3", "qwen2_vl", "kosmos-2", "mllama", "pi0"])
def test_the_image_reaches_the_score(model_type: str) -> None:
    model: Any = zoo.build(model_type, "image-text-to-text")
    given = zoo.example(model)
    given["pixel_values"].requires_grad_()
    model(**given).logits[:, -1].square().sum().backward()
    assert given["pixel_values"].grad is not None
    assert (given["pixel_values"].grad.flatten(1).abs().sum(1) > 0).all()


def test_the_sound_reaches_the_score() -> None:
    model: Any = zoo.build("qwen2_audio", "seq2seq-lm")
    given = zoo.example(model)
    assert ((given["input_ids"] == multimodal.PLACES["audio"]).sum(1) > 0).all()
    given["input_features"].requires_grad_()
    model(**given).logits[:, -1].square().sum().backward()
    assert given["input_features"].grad is not None
    assert (given["input_features"].grad.flatten(1).abs().sum(1) > 0).all()


def test_the_number_of_places_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "TRANSFORMERS_DISABLE_TORCH_CHECK"
    monkeypatch.delenv(name, raising=False)
    import os

    model: Any = zoo.build("llava", "image-text-to-text")
    given = zoo.example(model)
    assert name not in os.environ
    given["input_ids"] = torch.where(given["input_ids"] == 90, 3, given["input_ids"])
    with pytest.raises(ValueError, match="do not match"):
        model(**given)
