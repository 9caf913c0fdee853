"""Sanity checks: what a method that ignores the model, and one that does not, come out as."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import lxt_like as lxt
from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.methods import make_methods
from lxt_like.evaluate.methods.baselines import Centre
from lxt_like.evaluate.methods.types import Scores
from lxt_like.evaluate.sanity import (
    conservation_error,
    emprt,
    entropy,
    mprt,
    randomise,
    spearman,
)
from lxt_like.evaluate.task import Row, Task
from lxt_like.evaluate.text import TextTask
from tests.evaluate.conftest import vit


def centre(task: Task) -> Scores:
    return Centre()


def attnlrp(task: Task) -> Scores:
    return make_methods(task, ["attnlrp"])[0][0]


def test_a_method_that_ignores_the_model_is_found_out(
    image_task: ImageTask, images: list[Row]
) -> None:
    batch = image_task.prepare(images)
    assert emprt(image_task, batch, centre) == [0.0] * 3
    assert mprt(image_task, batch, centre, most=2).mean == pytest.approx(1.0)
    found = mprt(image_task, batch, attnlrp, most=3)
    assert found.similarity.shape == (3, 3) and len(found.layers) == 3
    assert found.mean < 0.6
    assert found.layers[-1] == "classifier"


def test_the_users_model_is_untouched(image_task: ImageTask, images: list[Row]) -> None:
    before = {n: v.clone() for n, v in image_task.model.state_dict().items()}
    batch = image_task.prepare(images)
    emprt(image_task, batch, attnlrp)
    mprt(image_task, batch, attnlrp, most=1)
    assert all(torch.equal(image_task.model.state_dict()[n], v) for n, v in before.items())
    assert all(p.requires_grad for p in image_task.model.parameters())


def test_randomising_changes_every_named_weight_and_keeps_its_values() -> None:
    model = vit()
    names = [n for n, m in model.named_modules() if [*m.parameters(recurse=False)]]
    before = {n: p.clone() for n, p in model.named_parameters()}
    randomise(model, names, 0)
    for name, p in model.named_parameters():
        assert not torch.equal(p, before[name])
        torch.testing.assert_close(p.flatten().sort().values, before[name].flatten().sort().values)


def test_entropy_and_spearman() -> None:
    assert entropy(torch.zeros(5)) == 0
    assert entropy(torch.tensor([0.0, 0.0, 1.0, 1.0])) == pytest.approx(np.log(2))
    a, b = np.random.default_rng(0).normal(size=(2, 40)).round(1)
    expected = stats.spearmanr(a, b).statistic
    assert spearman(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected)


def test_conservation(text_task: TextTask, texts: list[Row]) -> None:
    batch = text_task.prepare(texts)
    for i, (inputs, gap) in enumerate(conservation_error(text_task, batch, "attnlrp")):
        found = lxt.explain(text_task.model, texts[i].content, tokenizer=text_task.tokenizer)
        total = sum(t.relevance for t in found.tokens)
        assert inputs == pytest.approx(
            abs(found.target.score - total) / abs(found.target.score), rel=1e-3
        )
        assert gap < 1e-3


def test_scores_without_spread_have_no_rank() -> None:
    flat: Tensor = torch.zeros(4)
    assert np.isnan(spearman(flat, torch.arange(4.0)))
