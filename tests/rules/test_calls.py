"""What a rule costs, counted: kernel calls beyond the model's own forward, and multiply-adds."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import composites, rules
from tests.support import random

from .calls import Calls

# rule -> most extra forwards, most transposed calls (FIELD's closed forms)
COSTS: dict[str, tuple[rules.Rule, int, int]] = {
    "zero": (rules.Zero(), 0, 1),
    "epsilon": (rules.Epsilon(1e-6), 0, 1),
    "epsilon, clipped, scaled": (rules.Epsilon(1e-3, clip=True, scaled=True), 0, 1),
    "epsilon, no bias": (rules.Epsilon(1e-6, zero_bias=True), 0, 1),
    "z+": (rules.ZPlus(), 1, 1),
    "z+, no bias": (rules.ZPlus(zero_bias=True), 1, 1),
    "gamma": (rules.Gamma(0.25), 1, 2),
    "classic gamma": (rules.ClassicGamma(0.25), 1, 1),
    "alpha-beta": (rules.AlphaBeta(2, 1), 1, 2),
    "alpha 1, beta 0": (rules.AlphaBeta(1, 0), 1, 1),
    "box": (rules.ZBox(-3.0, 3.0), 1, 2),
    "w^2": (rules.WSquare(), 1, 1),
    "flat": (rules.Flat(), 1, 1),
}

# multiply-adds of the backward in units of the layer's own forward, for inputs (>= 0, of any
# sign); stacked parts are one call that does the work of several
WORK: dict[str, tuple[float, float]] = {
    "zero": (1, 1),
    "epsilon": (1, 1),
    "z+": (2, 4),
    "gamma": (3, 3),
    "alpha-beta": (4, 8),
    "box": (4, 4),
    # the denominators do not depend on the input: one sample's is enough
    "w^2": (1.25, 1.25),
    "flat": (1.25, 1.25),
}

BATCH = 4


def conv(bias: bool = True) -> tuple[nn.Module, Tensor]:
    """One convolution whose outputs are the logits."""
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=bias), nn.Flatten())
    return model.double().eval(), random(BATCH, 3, 8, 8, seed=1)


def counted(model: nn.Module, x: Tensor, rule: rules.Rule) -> Calls:
    """The calls of one attribution under ``rule``."""
    composite = composites.Plain() + lxt.Composite([rule])
    with Calls() as calls:
        lxt.attribute(model, x, 0, composite)
    assert not calls.other
    return calls


@pytest.mark.parametrize("positive", [False, True], ids=["any sign", "x >= 0"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("name", COSTS)
def test_calls_of_a_convolution(name: str, bias: bool, positive: bool) -> None:
    rule, forwards, transposed = COSTS[name]
    model, x = conv(bias)
    calls = counted(model, x.clamp(min=0) if positive else x, rule)
    assert calls.products == 0
    assert calls.forward - 1 <= forwards
    assert 1 <= calls.transposed <= transposed


@pytest.mark.parametrize("positive", [False, True], ids=["any sign", "x >= 0"])
@pytest.mark.parametrize("name", COSTS)
def test_products_of_a_dense_layer(name: str, positive: bool) -> None:
    rule, forwards, transposed = COSTS[name]
    model, x = nn.Linear(12, 7).double(), random(BATCH, 12, seed=1)
    calls = counted(model, x.clamp(min=0) if positive else x, rule)
    assert calls.forward == calls.transposed == 0
    assert 2 <= calls.products <= 1 + forwards + transposed


@pytest.mark.parametrize("positive", [False, True], ids=["any sign", "x >= 0"])
@pytest.mark.parametrize("name", WORK)
def test_work_of_a_convolution(name: str, positive: bool) -> None:
    model, x = conv()
    own = BATCH * 6 * 64 * 27
    calls = counted(model, x.clamp(min=0) if positive else x, COSTS[name][0])
    assert calls.work - own <= WORK[name][0 if positive else 1] * own


def test_frozen_or_not_costs_the_same() -> None:
    """No gradient of a parameter is computed, whether they are frozen or not."""
    model, x = conv()
    free = counted(model, x, rules.ZPlus())
    frozen = counted(model.requires_grad_(False), x, rules.ZPlus())
    assert (free.forward, free.transposed, free.work) == (
        frozen.forward,
        frozen.transposed,
        frozen.work,
    )


def test_layers_add_up() -> None:
    """Three convolutions under z+: three times the calls of one."""
    layers = [nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()] * 2 + [nn.Conv2d(3, 3, 3, padding=1)]
    calls = counted(nn.Sequential(*layers, nn.Flatten()).double(), conv()[1], rules.ZPlus())
    assert (calls.forward, calls.transposed) == (6, 3)


def test_the_count_sees_calls() -> None:
    """Of torch's own operations, forward and backward, with their multiply-adds."""
    x, w = random(2, 3, 5, 5).requires_grad_(), random(4, 3, 3, 3)
    with Calls() as calls:
        F.conv2d(x, w).sum().backward()
        F.conv_transpose2d(random(2, 4, 5, 5), w)
        torch.mm(random(2, 3), random(3, 5))
        F.linear(random(2, 3), random(5, 3), random(5))
    assert (calls.forward, calls.transposed, calls.products) == (2, 1, 2)
    assert calls.work == 2 * (2 * 4 * 9 * 27) + 2 * 4 * 25 * 27 + 2 * 30
