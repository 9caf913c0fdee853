"""Whole-model oracles: their forward is the model's, their account closes, and an independent
formulation of the same rules, modified gradients, finds the same relevances everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.tiny import Head, build, inputs, single, widen
from tests.oracles import modified_gradient
from tests.oracles.account import Account
from tests.oracles.arrays import Composite, array, relative_error
from tests.oracles.models import ORACLES
from tests.oracles.modified_gradient import RECIPES

HEADS: list[tuple[str, Head]] = [
    ("bert", "classification"),
    ("gpt2", "classification"),
    ("gpt2", "lm"),
    ("llama", "classification"),
    ("llama", "lm"),
]
COMPOSITES: list[Composite] = ["attnlrp", "cp_lrp"]
TARGET = [1, 2]
EVERY_HEAD = pytest.mark.parametrize(("name", "head"), HEADS)
EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)


@pytest.fixture(scope="module")
def models() -> Mapping[tuple[str, str], Any]:
    return {
        (name, head): widen(build(name, head=head, dtype=torch.float64)) for name, head in HEADS
    }


def logits_of(model: Any, batch: Mapping[str, torch.Tensor]) -> Any:
    """The model's logits, of language models those at each row's last real token."""
    with torch.no_grad():
        logits = model(**batch).logits
    if logits.ndim == 3:
        places = torch.arange(logits.shape[1])
        last = (batch["attention_mask"] * places).argmax(-1)
        logits = logits[torch.arange(len(last)), last]
    return array(logits)


def closing_error(account: Account) -> float:
    """Relative to the largest part, as the parts may be much larger than their sum."""
    parts = [account["embeddings"].sum((1, 2)), *account["entries"].values()]
    return float(np.abs(account["score"] - sum(parts)).max() / np.abs(parts).max())


@EVERY_HEAD
def test_forward_is_the_models(models: Any, name: str, head: str) -> None:
    for padded in ("none", "right", "left"):
        if padded == "left" and name == "bert":
            continue
        batch = inputs(name, padded=padded)
        account = ORACLES[name](models[name, head], batch, TARGET)
        assert relative_error(account["logits"], logits_of(models[name, head], batch)) < 1e-10
        np.testing.assert_array_equal(account["score"], account["logits"][[0, 1], TARGET])


def test_forward_is_the_untouched_models_to_float32() -> None:
    model, batch = build("llama", dtype=torch.float64), inputs("llama")
    account = ORACLES["llama"](model, batch, TARGET)
    assert 1e-10 < relative_error(account["logits"], logits_of(model, batch)) < 1e-5


@EVERY_HEAD
@EVERY_COMPOSITE
def test_the_account_closes(models: Any, name: str, head: str, composite: Composite) -> None:
    account = ORACLES[name](models[name, head], inputs(name, padded="right"), TARGET, composite)
    assert closing_error(account) < 1e-12
    assert relative_error(sum(account["biases"].values()), account["entries"]["bias"]) < 1e-12
    if composite == "cp_lrp":
        assert not account["entries"]["softmax"].any()
    else:
        assert np.all(np.abs(account["entries"]["softmax"]) > 1e-3)
    assert np.all(np.abs(account["entries"]["bias"]) > 1e-3)


@EVERY_HEAD
@EVERY_COMPOSITE
def test_modified_gradients_agree(models: Any, name: str, head: str, composite: Composite) -> None:
    model, batch = models[name, head], inputs(name, padded="right")
    account = ORACLES[name](model, batch, TARGET, composite)
    for row, target in enumerate(TARGET):
        real = batch["attention_mask"][row].bool()
        ids, positions = batch["input_ids"][row][real], torch.arange(int(real.sum()))
        want = modified_gradient.explain(model, ids, positions, target, RECIPES[composite])
        assert account["score"][row] == pytest.approx(want.score, rel=1e-12)
        got = account["embeddings"][row][array(real).astype(bool)]
        assert relative_error(got, want.values["word"]) < 1e-10
        for layer, relevance in account["layers"].items():
            got = relevance[row][array(real).astype(bool)]
            assert relative_error(got, want.values[layer]) < 1e-10, layer
        entries = account["entries"]
        assert entries["softmax"][row] == pytest.approx(want.softmax, rel=1e-10, abs=1e-12)
        for cause in ("position", "token_type"):
            if cause in entries:
                summed = float(want.values[cause].sum())
                assert entries[cause][row] == pytest.approx(summed, rel=1e-10)
        assert set(account["biases"]) == set(want.biases)
        for bias, relevance in account["biases"].items():
            got = pytest.approx(want.biases[bias], rel=1e-10, abs=1e-12)
            assert relevance[row] == got, bias


@pytest.mark.parametrize(
    "fault",
    [
        {"q": 1 / 2},
        {"k": 1 / 2},
        {"v": 1.0},
        {"gate": 1.0},
        {"up": 1.0},
        {"norm_scale_held": False},
        {"activation_ratio": False},
    ],
    ids=str,
)
def test_a_wrong_rule_is_far_off(models: Any, fault: dict[str, Any]) -> None:
    model, batch = models["llama", "lm"], inputs("llama", batch=1)
    account = ORACLES["llama"](model, batch, 1)
    wrong = replace(RECIPES["attnlrp"], **fault)
    found = modified_gradient.explain(model, batch["input_ids"][0], torch.arange(9), 1, wrong)
    assert relative_error(account["embeddings"][0], found.values["word"]) > 1e-2


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_the_plain_gradient_is_far_off_and_does_not_close(models: Any, name: str) -> None:
    model, batch = models[name, "classification"], inputs(name, batch=1)
    found = modified_gradient.explain(
        model, batch["input_ids"][0], torch.arange(9), 1, RECIPES["gradient"]
    )
    account = ORACLES[name](model, batch, 1)
    assert relative_error(account["embeddings"][0], found.values["word"]) > 0.1
    parts = [
        found.values[key].sum() for key in ("word", "position", "token_type") if key in found.values
    ]
    assert abs(found.score - float(sum(parts)) - sum(found.biases.values())) > 1e-2


@EVERY_COMPOSITE
@pytest.mark.parametrize(
    ("name", "padded"),
    [("bert", "right"), ("gpt2", "right"), ("gpt2", "left"), ("llama", "right"), ("llama", "left")],
)
def test_a_padded_row_is_the_row_alone(
    models: Any, name: str, padded: Any, composite: Composite
) -> None:
    model, batch = models[name, "classification"], inputs(name, padded=padded)
    account = ORACLES[name](model, batch, TARGET, composite)
    alone = ORACLES[name](model, single(batch, 1), TARGET[1], composite)
    real = array(batch["attention_mask"][1]).astype(bool)
    assert real.sum() == 6
    assert relative_error(account["embeddings"][1][real], alone["embeddings"][0]) < 1e-6
    assert not account["embeddings"][1][~real].any()
    assert account["score"][1] == pytest.approx(alone["score"][0], rel=1e-6)


def test_token_types_and_float32_weights_are_taken() -> None:
    model, batch = build("bert"), inputs("bert")
    batch["token_type_ids"] = (torch.arange(9) > 4).long().expand(2, -1)
    account = ORACLES["bert"](model, batch, 0)
    assert relative_error(account["logits"], logits_of(model, batch)) < 1e-5
    assert closing_error(account) < 1e-12
