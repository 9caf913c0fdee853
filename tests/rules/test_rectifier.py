"""Deconvnet, guided backprop, beta-smooth: every spelling of a rectifier, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import rules
from lxt_like.errors import RuleError
from tests.support import bare, random

SPELLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu": F.relu,
    "torch.relu": torch.relu,
    "method": Tensor.relu,
    "relu_": lambda t: (t * 1.0).relu_(),
    "torch.relu_": lambda t: torch.relu_(t * 1.0),
    "inplace": lambda t: F.relu(t * 1.0, inplace=True),
    "module": nn.ReLU(),
    "module in place": lambda t: nn.ReLU(inplace=True)(t * 1.0),
    "clamp": lambda t: t.clamp(min=0),
    "clamp_min": lambda t: torch.clamp_min(t, 0),
    "threshold": lambda t: F.threshold(t, 0, 0),
}
RULES: dict[str, tuple[rules.Rule, Callable[[Tensor, Tensor], Tensor]]] = {
    "deconvnet": (rules.Deconvnet(), lambda x, g: torch.where(g > 0, g, 0.0)),
    "guided_backprop": (
        rules.GuidedBackprop(),
        lambda x, g: torch.where((g > 0) & (x > 0), g, 0.0),
    ),
    "beta_smooth": (rules.BetaSmooth(3.0), lambda x, g: g / (1 + torch.exp(-3.0 * x))),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", RULES)
def test_gradient(name: str, spelling: str) -> None:
    rule, want = RULES[name]
    x, g = random(4, 6), random(4, 6, seed=3)
    model = bare(lambda t: SPELLINGS[spelling](t) * g)
    target = lxt.targets.Output(lambda out: out.sum(-1))
    composite = lxt.Composite([rules.Gradient(), rule])
    found = lxt.attribute(model, x, target, composite)
    assert torch.allclose(found.gradient, want(x, g), rtol=1e-12, atol=0)
    assert torch.equal(found.output, F.relu(x) * g)
    assert torch.allclose(found.relevance, x * found.gradient)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("other", [F.gelu, torch.sigmoid, F.leaky_relu, torch.tanh])
def test_other_activations_are_refused(name: str, other: Any) -> None:
    composite = lxt.Composite([rules.Gradient(), RULES[name][0]])
    with pytest.raises(RuleError, match="replaces the gradient of a rectifier"):
        lxt.attribute(bare(lambda t: other(t)), random(2, 3), 0, composite)


@pytest.mark.parametrize("name", ["deconvnet", "guided_backprop", "beta_smooth"])
def test_a_ledger_shows_that_nothing_adds_up(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    book = lxt.attribute(model, random(2, 6), 0, name, ledger=True).ledger
    assert book is not None
    assert not book.closed
    assert float(book.unruled.min()) > 1e-3


def test_pass_hands_on_the_offset() -> None:
    x = random(3, 5)
    x[0, 0] = 0.0
    composite = lxt.Composite([rules.Gradient(), rules.Pass()])
    target = lxt.targets.Output(lambda out: out.sum(-1))
    found = lxt.attribute(bare(lambda t: torch.sigmoid(t)), x, target, composite, ledger=True)
    want = torch.sigmoid(x)
    want[0, 0] = 0.0  # relevance that a zero cannot hold is declared
    assert torch.allclose(found.relevance, want, rtol=1e-12)
    assert found.ledger is not None
    assert found.ledger.entries["activation"].tolist() == pytest.approx([0.5, 0, 0])
    assert float(found.ledger.gap.abs().max()) < 1e-12
