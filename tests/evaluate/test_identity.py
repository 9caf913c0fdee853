from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import normalizers, pre_tokenizers, processors
from torch import nn
from transformers import AutoTokenizer, BertForSequenceClassification

import lxt_like as lxt
from lxt_like.errors import InputError
from tests.explain import makers

TEXTS = ["the film is good", "not funny film", "a dull film"]
TEXT: dict[str, Any] = {"methods": ["attnlrp"], "operators": ["zero"], "steps": 3}
IMAGES: dict[str, Any] = {"methods": ["gradient"], "operators": ["mean"], "steps": 3}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return makers.wordpiece()


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    return makers.bert(tokenizer, labels=3, seed=1)


def twin(model: Any, **config: Any) -> Any:
    """The same weights under another configuration."""
    made = copy.deepcopy(model.config)
    for name, value in config.items():
        setattr(made, name, value)
    other = BertForSequenceClassification(made).eval()
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_act": "relu"},
        {"hidden_act": "gelu_new"},  # a hair's breadth from gelu
        {"problem_type": "multi_label_classification"},
        {"layer_norm_eps": 0.1},
    ],
    ids=lambda config: next(iter(config)),
)
def test_the_same_weights_configured_otherwise(
    config: dict[str, Any], model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    lxt.evaluate(model, TEXTS, processor=tokenizer, out=tmp_path, **TEXT)
    with pytest.raises(InputError, match=rf"other settings \(.*config\.{next(iter(config))}"):
        lxt.evaluate(twin(model, **config), TEXTS, processor=tokenizer, out=tmp_path, **TEXT)
    # the same configuration loaded again is the same model
    lxt.evaluate(twin(model), TEXTS, processor=tokenizer, out=tmp_path, **TEXT)


def cased(backend: Any) -> None:
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)


def accented(backend: Any) -> None:
    backend.normalizer = normalizers.BertNormalizer(strip_accents=False)


def unsplit(backend: Any) -> None:
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()


def unmarked(backend: Any) -> None:
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $A $B", special_tokens=[("[CLS]", 2)]
    )


@pytest.mark.parametrize("change", [cased, accented, unsplit, unmarked])
def test_the_same_vocabulary_read_otherwise(
    change: Any, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    lxt.evaluate(model, TEXTS, processor=tokenizer, out=tmp_path, **TEXT)
    other = makers.wordpiece()
    change(other.backend_tokenizer)
    with pytest.raises(InputError, match=r"other settings \(.*tokenizer"):
        lxt.evaluate(model, TEXTS, processor=other, out=tmp_path, **TEXT)


def test_the_same_tokenizer_loaded_again_or_used_before(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    lxt.evaluate(model, TEXTS, processor=tokenizer, out=tmp_path / "out", **TEXT)
    tokenizer.save_pretrained(tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    again(TEXTS, padding=True, truncation=True, max_length=4)
    lxt.evaluate(model, TEXTS, processor=again, out=tmp_path / "out", **TEXT)


def test_a_slow_tokenizer_is_told_by_what_it_makes_of_a_text(model: Any, tmp_path: Path) -> None:
    slow = makers.slow_wordpiece(tmp_path)
    lxt.evaluate(model, TEXTS, processor=slow, out=tmp_path / "out", **TEXT)
    lxt.evaluate(model, TEXTS, processor=copy.deepcopy(slow), out=tmp_path / "out", **TEXT)
    slow.basic_tokenizer.do_lower_case = not slow.basic_tokenizer.do_lower_case
    with pytest.raises(InputError, match=r"other settings \(tokenizer\)"):
        lxt.evaluate(model, TEXTS, processor=slow, out=tmp_path / "out", **TEXT)


def test_a_list_in_a_configuration_may_hold_anything(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    parts = [{"rate": 1.0, "_name_or_path": "a"}, {"rate": float("inf")}]
    moved = [{"rate": 1.0, "_name_or_path": "b"}, {"rate": float("inf")}]
    other = [{"rate": 2.0, "_name_or_path": "a"}, {"rate": float("inf")}]
    lxt.evaluate(twin(model, parts=parts), TEXTS, processor=tokenizer, out=tmp_path, **TEXT)
    lxt.evaluate(twin(model, parts=moved), TEXTS, processor=tokenizer, out=tmp_path, **TEXT)
    with pytest.raises(InputError, match=r"other settings \(config\.parts\)"):
        lxt.evaluate(twin(model, parts=other), TEXTS, processor=tokenizer, out=tmp_path, **TEXT)


class Scaled(nn.Module):
    """A module whose state tells nothing of what it computes."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x)
        return logits * self.factor


def picture(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


IMAGE = np.random.default_rng(0).integers(0, 255, (3, 12, 12, 3), dtype=np.uint8)


def compare(model: nn.Module, folder: Path) -> Any:
    return lxt.evaluate(
        model.eval(), list(IMAGE), processor=picture, labels=["a", "b"], out=folder, **IMAGES
    )


def test_what_the_weights_do_not_tell(tmp_path: Path) -> None:
    compare(Scaled(2.0), tmp_path)
    with pytest.raises(InputError, match=r"other settings \(outputs\)"):
        compare(Scaled(3.0), tmp_path)
    bent = Scaled(2.0)
    bent.body[1] = nn.LeakyReLU(1e-5)
    with pytest.raises(InputError, match=r"other settings \(modules\)"):
        compare(bent, tmp_path)
    compare(Scaled(2.0), tmp_path)


def test_rounding_makes_no_other_model(tmp_path: Path) -> None:
    first = compare(Scaled(2.0), tmp_path).summary["settings"]["outputs"]["values"]
    second = compare(Scaled(2.0 * (1 + 1e-5)), tmp_path)
    assert second.summary["settings"]["outputs"]["values"] != first


def test_another_version_of_torch_is_named(tmp_path: Path) -> None:
    compare(Scaled(2.0), tmp_path)
    path = tmp_path / "run.json"
    record = json.loads(path.read_text())
    assert record["made_with"]["torch"] == torch.__version__
    record["made_with"]["torch"] = "0.1"
    path.write_text(json.dumps(record))
    compare(Scaled(2.0), tmp_path)  # it makes no difference
    with pytest.raises(
        InputError, match=rf"made with torch 0\.1, here {torch.__version__}".replace("+", r"\+")
    ):
        compare(Scaled(3.0), tmp_path)
