"""captum's LRP beside ours, where its rules mean the same; and where they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from captum.attr import LRP
from captum.attr._utils import lrp_rules as captum_rules
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import composites, rules
from tests.support import random

from .nets import TINY, drawn, images, off, plain_net

TARGET = torch.tensor([0, 3, 1])
pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")


class Net(nn.Module):
    """The plain network; captum knows no nn.Flatten."""

    def __init__(self) -> None:
        super().__init__()
        whole: Any = plain_net()
        self.convolutions, self.dense = whole[:6], whole[7:]

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.convolutions(x).flatten(1))


def captum_relevance(model: nn.Module, x: Tensor, make: Callable[[], Any]) -> Tensor:
    """Under ``make()`` at every convolution and dense layer; captum's own epsilon elsewhere."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.rule = make()
    found: Tensor = LRP(model).attribute(x.clone(), target=TARGET)
    return found.detach()


# captum modifies weights only, so z+ and gamma hold for x >= 0, and with the biases left out
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (rules.Epsilon(TINY), lambda: captum_rules.EpsilonRule(TINY)),
        (rules.ClassicGamma(0.25, zero_bias=True), lambda: captum_rules.GammaRule(0.25, True)),
        (rules.ZPlus(zero_bias=True), lambda: captum_rules.Alpha1_Beta0_Rule(True)),
    ],
    ids=["epsilon", "gamma", "z+"],
)
def test_rules_agree(ours: rules.Rule, theirs: Callable[[], Any]) -> None:
    net, x = Net(), images().abs()
    composite = composites.Epsilon(TINY) + lxt.Composite([ours])
    found = lxt.attribute(net, x, TARGET, composite).relevance
    assert off(found, captum_relevance(net, x, theirs)) < 1e-6


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (rules.ClassicGamma(0.25), lambda: captum_rules.GammaRule()),
        (rules.ZPlus(), lambda: captum_rules.Alpha1_Beta0_Rule()),
    ],
    ids=["gamma", "z+"],
)
def test_biases_differ_by_default(ours: rules.Rule, theirs: Callable[[], Any]) -> None:
    """captum adds the whole bias to a denominator of modified weights; here it is modified, too."""
    net, x = Net(), images().abs()
    composite = composites.Epsilon(TINY) + lxt.Composite([ours])
    found = lxt.attribute(net, x, TARGET, composite).relevance
    assert off(found, captum_relevance(net, x, theirs)) > 0.01


class Inline(nn.Module):
    """A rectified sum, written inline."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.head = nn.Linear(6, 6, bias=False), nn.Linear(6, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(x + self.f(x)))


def test_what_is_written_inline() -> None:
    """captum does not see it, and the sum tells; here it closes."""
    model, x = drawn(Inline()), random(3, 6, seed=4)
    score = model(x).gather(-1, TARGET[:, None])[:, 0]
    theirs = captum_relevance(model, x, captum_rules.EpsilonRule)
    assert off(theirs.sum(-1), score) > 0.1
    ours = lxt.attribute(model, x, TARGET, composites.Epsilon(TINY)).relevance
    assert off(ours.sum(-1), score) < 1e-9


class Twice(nn.Module):
    """A dense layer that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.head = nn.Linear(6, 6, bias=False), nn.Linear(6, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.f(self.f(x)))


def test_a_module_that_runs_twice() -> None:
    """captum refuses it."""
    model, x = drawn(Twice()), random(3, 6, seed=4)
    with pytest.raises(RuntimeError, match="more than once"):
        captum_relevance(model, x, captum_rules.EpsilonRule)
    score = model(x).gather(-1, TARGET[:, None])[:, 0]
    ours = lxt.attribute(model, x, TARGET, composites.Epsilon(TINY)).relevance
    assert off(ours.sum(-1), score) < 1e-9
