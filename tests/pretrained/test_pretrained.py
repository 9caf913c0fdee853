"""Real networks on real images: definitions met, accounts closed, nothing blown up."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lxt_like as lxt
from lxt_like import rules
from lxt_like.composites import PRESETS
from tests.pretrained import models, oracle
from tests.test_cnns import COMMON, CONSERVING

DIGITS = 100


def composite(*given: Any) -> lxt.Composite:
    return lxt.Composite([*COMMON, *given])


RULES: dict[str, tuple[lxt.Composite, list[Any]]] = {
    "epsilon": (composite(rules.Epsilon(0.01)), [partial(oracle.epsilon, eps=0.01)] * 4),
    "alpha 2 beta 1": (
        composite(rules.AlphaBeta(2.0, 1.0)),
        [partial(oracle.alpha_beta, alpha=2.0, beta=1.0)] * 4,
    ),
    "alpha 1 beta 0": (
        composite(rules.ZPlus()),
        [partial(oracle.alpha_beta, alpha=1.0, beta=0.0)] * 4,
    ),
    "flat": (
        composite(rules.Epsilon(0.01), lxt.Assign(rules.Flat(), where="first")),
        [oracle.flat, *[partial(oracle.epsilon, eps=0.01)] * 3],
    ),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_lenet_meets_its_definition(name: str, dtype: torch.dtype) -> None:
    model = models.lenet5()
    x, labels = models.digits(DIGITS)
    layers: list[tuple[str, Any, Any]] = []
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            layers.append(("conv", layer.weight.detach().numpy(), layer.bias.detach().numpy()))
        elif not isinstance(layer, nn.Flatten):
            layers.append(("relu" if isinstance(layer, nn.ReLU) else "sum", None, None))
    given, definitions = RULES[name]
    want = oracle.relevance(layers, x.numpy(), labels.numpy(), definitions)
    got = lxt.attribute(model.to(dtype), x.to(dtype), target=labels, composite=given).relevance
    for i in range(DIGITS):
        off = np.abs(got[i].double().numpy() - want[i]).max() / np.abs(want[i]).max()
        assert off < (1e-10 if dtype == torch.float64 else 1e-5), (i, off)


# sum |R| / |score| at any layer: the largest found over 32 images, doubled and rounded up
BOUNDS = {"epsilon_plus": 6, "epsilon_plus_flat": 6, "epsilon_plus_ratio": 6}
LAYERS = ["bn1", "layer?.?", "layer?.?.bn?"]


def _closed(found: lxt.Attribution) -> float:
    book = found.ledger
    assert book is not None
    moved = book.score.abs() + sum(v.abs() for v in book.entries.values())
    return float(((book.gap.abs() + book.unruled) / moved).max())


@pytest.mark.parametrize("name", CONSERVING)
@pytest.mark.parametrize("network", ["squeezenet", "resnet20"])
def test_every_composite_closes(network: str, name: str) -> None:
    model = getattr(models, network)()
    x = models.photographs(2)[0] if network == "squeezenet" else models.small_photographs(3)[0]
    given = PRESETS[name]()
    if name == "epsilon_gamma_box":
        given = lxt.composites.EpsilonGammaBox(float(x.min()), float(x.max()))
    found = lxt.attribute(model, x, composite=given, ledger=True)
    assert _closed(found) < 1e-4


@pytest.mark.parametrize("name", BOUNDS)
def test_nothing_blows_up_in_a_residual_network(name: str) -> None:
    model, x = models.resnet20(), models.small_photographs(32)[0]

    def largest(composite: str) -> float:
        found = lxt.attribute(model, x, composite=composite, layers=LAYERS)
        parts = [found.relevance, *found.layers.values()]
        return max(float((r.abs().flatten(1).sum(1) / found.score.abs()).max()) for r in parts)

    assert largest(name) < BOUNDS[name]
    assert largest("epsilon") > 50  # where it would
