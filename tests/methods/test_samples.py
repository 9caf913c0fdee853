"""Targets of the methods that take each sample by itself: every sample has its own part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import methods
from lxt_like.errors import InputError, TargetError
from lxt_like.targets import Token
from tests.oracles.arrays import relative_error
from tests.support import draw, random

Method = Callable[..., Any]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4)).double().eval()


class Tagger(nn.Module):
    """Logits for each token, of that token alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 5)).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


METHODS: dict[str, Method] = {
    "integrated_gradients": lambda *a, **k: methods.integrated_gradients(*a, steps=4, **k),
    "smooth_grad": lambda *a, **k: methods.smooth_grad(*a, samples=4, noise=0.4, **k),
    "occlusion": methods.occlusion,
}

PER_SAMPLE: list[tuple[Any, list[Any]]] = [
    (torch.tensor([0, 1]), [0, 1]),
    (np.array([0, 1]), [0, 1]),
    ((0, 1), [0, 1]),
    (range(2), [0, 1]),
    (lxt.Logit([0, 1]), [0, 1]),
    (lxt.Logit(np.array([0, 1])), [0, 1]),
    (lxt.LogProb(torch.tensor([0, 1])), [lxt.LogProb(0), lxt.LogProb(1)]),
    (lxt.Contrast([0, 1], 3), [lxt.Contrast(0, 3), lxt.Contrast(1, 3)]),
    (lxt.Contrast(2, np.array([0, 1])), [lxt.Contrast(2, 0), lxt.Contrast(2, 1)]),
]
TOKENS: list[tuple[Any, list[Any]]] = [
    (Token([1, 2], 2), [Token(1, 2), Token(2, 2)]),
    (Token(np.array([0, -1]), 2), [Token(0, 2), Token(-1, 2)]),
    (Token(torch.tensor([0, 2]), [3, 1]), [Token(0, 3), Token(2, 1)]),
    (
        Token([2, 0], lxt.Contrast([0, 1], 4)),
        [Token(2, lxt.Contrast(0, 4)), Token(0, lxt.Contrast(1, 4))],
    ),
    (Token(1, lxt.LogProb([3, 1])), [Token(1, lxt.LogProb(3)), Token(1, lxt.LogProb(1))]),
]


@pytest.mark.parametrize("batch_size", [2, 16])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("given", "each"), PER_SAMPLE, ids=lambda v: str(v)[:30])
def test_classes_of_samples(method: str, given: Any, each: list[Any], batch_size: int) -> None:
    model, x = net(), random(2, 6)
    check(METHODS[method], model, x, given, each, batch_size)


@pytest.mark.parametrize("batch_size", [2, 16])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("given", "each"), TOKENS, ids=lambda v: str(v)[:30])
def test_tokens_of_samples(method: str, given: Any, each: list[Any], batch_size: int) -> None:
    model, x = Tagger().eval(), random(2, 3, 6)
    found = check(METHODS[method], model, x, given, each, batch_size)
    for row, target in zip(found, each, strict=True):  # a token's logits know no other token
        others = [t for t in range(3) if t != target.at % 3]
        assert float(row[others].abs().max()) < 1e-14  # two forwards' rounding
        assert float(row[target.at].abs().max()) > 1e-3


def check(
    method: Method, model: nn.Module, x: Tensor, given: Any, each: list[Any], batch_size: int
) -> Tensor:
    """A batch is its samples one by one."""
    found: Tensor = method(model, x, given, batch_size=batch_size).relevance
    alone = [method(model, x[i : i + 1], t, batch_size=5).relevance for i, t in enumerate(each)]
    assert relative_error(found, torch.cat(alone)) < 1e-12
    return found


PREDICTED: dict[str, tuple[Any, Callable[[int], Any]]] = {
    "token": (Token(1), lambda c: Token(1, c)),
    "log p": (Token(1, lxt.LogProb()), lambda c: Token(1, lxt.LogProb(c))),
    "log odds": (Token(1, lxt.targets.LogOdds()), lambda c: Token(1, lxt.targets.LogOdds(c))),
    "contrast": (Token(1, lxt.Contrast(None, 4)), lambda c: Token(1, lxt.Contrast(c, 4))),
    "foil": (Token(1, lxt.Contrast(4, None)), lambda c: Token(1, lxt.Contrast(4, c))),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("which", PREDICTED)
def test_the_predicted_class_is_the_clean_inputs_however_deep_it_stands(which: str) -> None:
    given, named = PREDICTED[which]
    model, tried = Tagger().eval(), 0
    for seed in range(12):
        x = 0.5 * random(1, 3, 6, seed=seed)
        predicted = int(model(x)[0, 1].argmax())
        if predicted == 4:
            continue
        tried += 1
        for name, method in METHODS.items():
            found, want = method(model, x, given), method(model, x, named(predicted))
            assert torch.equal(found.relevance, want.relevance), (name, seed)
    assert tried > 5


CONDITIONS = [{"1": [0, 1]}, {"1": [2]}, {"1": [3, 4, 5]}]


@pytest.mark.parametrize("batch_size", [2, 4, 64])
@pytest.mark.parametrize(("given", "each"), PER_SAMPLE, ids=lambda v: str(v)[:30])
def test_classes_of_samples_under_conditions(given: Any, each: list[Any], batch_size: int) -> None:
    model, x = net(), random(2, 6)
    found = methods.conditional(model, x, CONDITIONS, given, batch_size=batch_size)
    alone = [methods.conditional(model, x[i : i + 1], CONDITIONS, t) for i, t in enumerate(each)]
    assert relative_error(found.relevance, torch.cat([a.relevance for a in alone], 1)) < 1e-12
    assert torch.allclose(found.score, torch.cat([a.score for a in alone]))


@pytest.mark.parametrize("given", [[0, 1, 2], lxt.Logit([0, 1, 2]), np.array([0])])
def test_too_many_or_too_few_are_refused(given: Any) -> None:
    model, x = net(), random(2, 6)
    for method in (*METHODS.values(), lambda *a: methods.conditional(*a[:2], CONDITIONS, a[2])):
        with pytest.raises(TargetError, match=r"target.* batch of 2|each of the 2 samples"):
            method(model, x, given)


class Scaled(nn.Module):
    """Logits of tanh(W (x * scale)), the scale one row for all samples."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor, scale: Tensor, mask: Tensor | None = None) -> Tensor:
        h = torch.tanh(self.a(x * scale))
        return self.b(h if mask is None else h * mask)


AVERAGES = {
    "smooth": lambda *a: lxt.smooth_grad(*a, samples=3, batch_size=3),
    "integrated": lambda *a: lxt.integrated_gradients(*a, steps=3, batch_size=3),
}


@pytest.mark.parametrize("method", AVERAGES)
def test_inputs_without_an_axis_of_samples(method: str) -> None:
    """Cut up sample by sample they would be other inputs, which may even fit."""
    for width in (3, 5):
        model, x, scale = draw(Scaled(width)).double(), random(3, width), random(width, seed=1)
        said = "has no row for each" if width == 5 else "do not score as that sample"
        with pytest.raises(InputError, match=said):
            AVERAGES[method](model, {"x": x, "scale": scale}, 1)
        if width == 5:
            with pytest.raises(InputError, match="scale has no row for each of the 3 samples"):
                lxt.conditional(model, {"x": x, "scale": scale}, [{"a": [0]}], 1)
        rows = scale.expand(3, width)
        AVERAGES[method](model, {"x": x, "scale": rows}, 1)
        if width == 3:
            mask = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
            with pytest.raises(InputError, match="do not score as that sample"):
                AVERAGES[method](model, {"x": x, "scale": rows, "mask": mask}, 1)


def test_conditions_on_a_layer_that_returns_more() -> None:
    """The first float tensor, as for masks."""

    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> dict[str, Any]:
            return {"ids": torch.arange(2), "rest": None, "h": self.linear(x)}

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = Inner(), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(self.inner(x)["h"]))

    model, x = draw(Outer()).double(), random(2, 6)
    found = lxt.conditional(model, x, [{"inner": [c]} for c in range(6)], 1)
    want = lxt.conditional(model, x, [{"inner.linear": [c]} for c in range(6)], 1)
    assert found.relevance.any()
    assert relative_error(found.relevance, want.relevance) < 1e-12
