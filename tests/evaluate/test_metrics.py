"""Identities of the metrics, and definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from lxt_like.evaluate import metrics as m
from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.methods import make_methods
from lxt_like.evaluate.removal import Curve, remove
from lxt_like.evaluate.task import Row
from lxt_like.evaluate.text import TextTask
from tests.evaluate.conftest import pictures


def a_curve(n: int = 10, seed: int = 0) -> Curve:
    draw = np.random.default_rng(seed)
    clean, empty = draw.normal(size=2)
    lines = [np.array([clean, *draw.normal(size=n - 1), empty]) for _ in range(4)]
    return Curve(np.arange(n + 1.0), n, *lines)


def test_insertion_is_the_area_of_least_relevant_first() -> None:
    curve = a_curve()
    inserted = curve.lerf_logit[::-1]  # insertion(k) = l(n - k)
    area = sum((inserted[k] + inserted[k + 1]) / 2 for k in range(10)) / 10
    assert m.insertion(curve) == pytest.approx(area)
    assert m.srg(curve) == pytest.approx(m.insertion(curve) - m.deletion(curve))


def test_turning_the_scores_round_turns_the_srg_round(
    text_task: TextTask, texts: list[Row]
) -> None:
    batch = text_task.prepare(texts)
    scores = [torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in batch.units]
    there = remove(text_task, batch, scores, "mask")
    back = remove(text_task, batch, [-s for s in scores], "mask")
    for a, b in zip(there, back, strict=True):
        assert m.srg(a) == pytest.approx(-m.srg(b), abs=1e-5)


def test_comprehensiveness_and_sufficiency_are_points_of_the_same_curves() -> None:
    curve = a_curve(20)
    p, q = curve.morf_probability, curve.lerf_probability
    counts = [1, 1, 2, 4, 10]  # 1, 5, 10, 20, 50 % of 20, rounded up
    assert m.comprehensiveness(curve) == pytest.approx(np.mean([p[0] - p[k] for k in counts]))
    assert m.sufficiency(curve) == pytest.approx(np.mean([q[0] - q[20 - k] for k in counts]))
    assert m.aopc(curve) == pytest.approx(curve.morf_logit[0] - m.deletion(curve))


def test_a_text_without_units_has_no_gain() -> None:
    one = np.array([0.7])
    curve = Curve(np.zeros(1), 0, one, one, one, one)
    found = m.curve_metrics(curve)
    assert found["srg"] == 0 and found["insertion"] == pytest.approx(0.7)
    assert found["comprehensiveness"] == 0


def test_random_orders_gain_nothing(image_task: ImageTask) -> None:
    batch = image_task.prepare(pictures(12))
    methods, _ = make_methods(image_task, ["random"])
    assert len(methods) == 5
    values = [
        m.srg(c)
        for method in methods
        for c in remove(image_task, batch, method(image_task, batch), "mean", steps=8)
    ]
    half = 1.96 * np.std(values) / len(values) ** 0.5
    assert abs(np.mean(values)) < 1.6 * half


def pixel_flipping(
    task: ImageTask, pixels: torch.Tensor, scores: torch.Tensor, target: int, step: int
) -> list[float]:
    """Bach et al. 2015: patches in order of relevance replaced by black, ``step`` at a time."""
    x, out = pixels.clone()[None], []
    for start in range(0, 17, step):
        for patch in sorted(range(16), key=lambda p: -float(scores[p]))[
            max(0, start - step) : start
        ]:
            y, z = patch // 4 * 8, patch % 4 * 8
            x[0, :, y : y + 8, z : z + 8] = -2.0
        with torch.no_grad():
            logits = task.model(x).logits[0]
        out.append(float(torch.softmax(logits.double(), 0)[target]))
    return out


def test_pixel_flipping_by_its_own_definition(image_task: ImageTask, images: list[Row]) -> None:
    batch = image_task.prepare(images)
    scores = [torch.randn(16, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    curves = remove(image_task, batch, scores, "black", steps=8)
    for i, curve in enumerate(curves):
        target = int(batch.targets[i])
        expected = pixel_flipping(image_task, batch.inputs["pixels"][i], scores[i], target, 2)
        np.testing.assert_allclose(curve.morf_probability, expected, atol=2e-6)


def test_kendall_and_pearson_agree_with_scipy() -> None:
    draw = np.random.default_rng(0)
    for ties in (False, True):
        a, b = draw.normal(size=(2, 30))
        if ties:
            a, b = a.round(), b.round()
        assert m.kendall(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
        assert m.pearson(a, b) == pytest.approx(stats.pearsonr(a, b).statistic)
    assert np.isnan(m.kendall(np.zeros(4), np.arange(4.0)))


def test_true_scores_of_an_additive_model_are_perfect(additive: ImageTask) -> None:
    rows = [Row("a", np.random.default_rng(1).integers(0, 255, (16, 24, 3)).astype("uint8"))]
    batch = additive.prepare(rows)
    losses = m.single_removals(additive, batch, "zero")
    scores = [torch.from_numpy(losses[0])]
    assert m.tau_loo(losses, scores) == [pytest.approx(1.0)]
    assert m.mu_fidelity(additive, batch, scores, "zero") == [pytest.approx(1.0, abs=1e-4)]
    wrong = [torch.from_numpy(losses[0][::-1].copy())]
    assert m.mu_fidelity(additive, batch, wrong, "zero")[0] < 0.9
