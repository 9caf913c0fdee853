"""Each rule beside zennit's, one layer at a time."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import composites, rules
from tests.support import random

from .nets import TINY, drawn, off, zennit_relevance
from .zennit_stub import Zennit, load

TARGET = torch.tensor([1, 0, 2])

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "dense": (lambda: nn.Linear(12, 7), (12,)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, dilation=2), (4, 11)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1, groups=2), (4, 5, 6)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 3, 4, 3)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1), (3, 4, 3)),
}

# our rule, and the name and arguments of zennit's
RULES: dict[str, tuple[rules.Rule, str, dict[str, Any]]] = {
    "epsilon": (rules.Epsilon(0.1), "Epsilon", {"epsilon": 0.1}),
    "epsilon, no bias": (
        rules.Epsilon(0.1, zero_bias=True),
        "Epsilon",
        {"epsilon": 0.1, "zero_params": ["bias"]},
    ),
    "gamma": (rules.Gamma(0.25, TINY), "Gamma", {"gamma": 0.25}),
    "gamma, no bias": (
        rules.Gamma(0.7, TINY, zero_bias=True),
        "Gamma",
        {"gamma": 0.7, "zero_params": ["bias"]},
    ),
    "z+": (rules.ZPlus(TINY), "ZPlus", {}),
    "z+, no bias": (rules.ZPlus(TINY, zero_bias=True), "ZPlus", {"zero_params": ["bias"]}),
    "alpha 2, beta 1": (rules.AlphaBeta(2, 1, TINY), "AlphaBeta", {"alpha": 2, "beta": 1}),
    "alpha 3, beta 2, no bias": (
        rules.AlphaBeta(3, 2, TINY, zero_bias=True),
        "AlphaBeta",
        {"alpha": 3, "beta": 2, "zero_params": ["bias"]},
    ),
    "alpha 1, beta 0": (rules.AlphaBeta(1, 0, TINY), "AlphaBeta", {"alpha": 1, "beta": 0}),
    "box": (rules.ZBox(-4.0, 3.5, TINY), "ZBox", {"low": -4.0, "high": 3.5}),
    # zennit's default keeps b^2 in the denominator, ours leaves it out
    "w^2": (rules.WSquare(TINY), "WSquare", {"zero_params": ["bias"]}),
    "w^2, bias kept": (rules.WSquare(TINY, zero_bias=False), "WSquare", {}),
    "flat": (rules.Flat(TINY), "Flat", {}),
}
# (eps clip, eps scaled) as zennit's Stabilizer says it
STABILIZERS = {
    "clipped": (rules.Epsilon(0.3, clip=True), {"epsilon": 0.3, "clip": True}),
    "scaled": (rules.Epsilon(0.3, scaled=True), {"epsilon": 0.3, "norm_scale": True}),
    "clipped and scaled": (
        rules.Epsilon(0.3, clip=True, scaled=True),
        {"epsilon": 0.3, "clip": True, "norm_scale": True},
    ),
}


def case(layer: str, positive: bool = False) -> tuple[nn.Module, Tensor]:
    """The layer and a dense head, so that relevance of both signs arrives; an input for it."""
    make, shape = LAYERS[layer]
    x = random(3, *shape, seed=5)
    x = x.clamp(min=0) if positive else x
    first = drawn(make())
    return nn.Sequential(first, nn.Flatten(), drawn(nn.Linear(first(x)[0].numel(), 4))), x


def our_relevance(model: nn.Module, x: Tensor, rule: rules.Rule) -> Tensor:
    """Under ``rule`` at module 0 and epsilon elsewhere."""
    composite = composites.Epsilon(TINY) + lxt.Composite([lxt.Assign(rule, name="0")])
    found: Tensor = lxt.attribute(model, x, TARGET, composite).relevance
    return found


def their_relevance(zennit: Zennit, model: nn.Module, x: Tensor, rule: Any) -> Tensor:
    named = [(["0"], rule), (["2"], zennit.rules.Epsilon(TINY))]
    composite = zennit.composites.NameMapComposite(named)
    return zennit_relevance(zennit, composite, model, x, TARGET)


@pytest.mark.parametrize("positive", [False, True], ids=["any sign", "x >= 0"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", RULES)
def test_rules_agree(zennit: Zennit, name: str, layer: str, positive: bool) -> None:
    ours, theirs, options = RULES[name]
    model, x = case(layer, positive)
    stabilizer = {} if theirs == "Epsilon" else {"stabilizer": TINY}
    rule = getattr(zennit.rules, theirs)(**options, **stabilizer)
    expected = their_relevance(zennit, model, x, rule)
    assert off(our_relevance(model, x, ours), expected) < 1e-9


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", STABILIZERS)
def test_stabilizers_agree(zennit: Zennit, name: str, layer: str) -> None:
    ours, options = STABILIZERS[name]
    model, x = case(layer)
    rule = zennit.rules.Epsilon(zennit.core.Stabilizer(**options))
    expected = their_relevance(zennit, model, x, rule)
    assert off(our_relevance(model, x, ours), expected) < 1e-9


def test_the_classic_gamma_is_the_general_one_where_both_hold(zennit: Zennit) -> None:
    """zennit knows the generalised gamma only; for x, z >= 0 they are one."""
    model, x = case("conv2d", positive=True)
    for p in model[0].parameters():
        p.abs_()
    rule = zennit.rules.Gamma(0.25, stabilizer=TINY)
    expected = their_relevance(zennit, model, x, rule)
    assert off(our_relevance(model, x, rules.ClassicGamma(0.25, TINY)), expected) < 1e-9


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Deconvnet", "ReLUDeconvNet"),
        ("GuidedBackprop", "ReLUGuidedBackprop"),
        ("BetaSmooth", "ReLUBetaSmooth"),
    ],
)
def test_rectifiers_agree(zennit: Zennit, ours: str, theirs: str) -> None:
    model, x = case("conv2d")
    model = nn.Sequential(model[0], nn.ReLU(), *model[1:])
    composite = composites.Plain() + lxt.Composite([getattr(rules, ours)()])
    a: Any = lxt.attribute(model, x, TARGET, composite)
    named = [(["1"], getattr(zennit.rules, theirs)())]
    other = zennit.composites.NameMapComposite(named)
    assert off(a.gradient, zennit_relevance(zennit, other, model, x, TARGET, seed=True)) < 1e-12


def test_pass(zennit: Zennit) -> None:
    """R_in = R_out, whatever the activation: also the share of f(0)."""
    model, x = case("conv2d")
    model = nn.Sequential(model[0], nn.Sigmoid(), *model[1:])
    composite = composites.Epsilon(TINY) + lxt.Composite([rules.Pass()])
    epsilon = zennit.rules.Epsilon(TINY)
    named = [(["0", "3"], epsilon), (["1"], zennit.rules.Pass())]
    other = zennit.composites.NameMapComposite(named)
    expected = zennit_relevance(zennit, other, model, x, TARGET)
    assert off(lxt.attribute(model, x, TARGET, composite).relevance, expected) < 1e-9


def test_the_stub_leaves_no_trace(zennit: Zennit) -> None:
    before = dict(sys.modules)
    load.cache_clear()
    assert load().rules.Epsilon is not zennit.rules.Epsilon  # imported anew
    assert dict(sys.modules) == before
    load.cache_clear()
