"""The classical composites beside zennit's, on a network where zennit is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import lxt_like as lxt
from lxt_like import composites

from .nets import TINY, images, off, plain_net, zennit_relevance
from .zennit_stub import Zennit

TARGET = torch.tensor([0, 3, 1])
LOW, HIGH = -4.0, 4.0

# zennit stabilizes every denominator; ours need it only in the epsilon rule, so ``stabilizer``
# has to be asked for.  Both keep the biases in the denominators, zennit's box rule excepted
# (there they cancel), and the flat rule counts none in either.
CASES: dict[str, tuple[Callable[..., Any], dict[str, float]]] = {
    "EpsilonPlus": (composites.EpsilonPlus, {}),
    "EpsilonPlusFlat": (composites.EpsilonPlusFlat, {}),
    "EpsilonAlpha2Beta1": (composites.EpsilonAlpha2Beta1, {}),
    "EpsilonAlpha2Beta1Flat": (composites.EpsilonAlpha2Beta1Flat, {}),
    "EpsilonGammaBox": (composites.EpsilonGammaBox, {"low": LOW, "high": HIGH}),
}

# With both libraries' defaults only the stabilizers differ: 1e-6 in all of zennit's denominators.
# It matters where an image's positive or negative part is nearly empty: alpha-beta.
DEFAULTS = dict.fromkeys(CASES, 5e-6) | {"EpsilonAlpha2Beta1": 1e-3}


@pytest.mark.parametrize("name", CASES)
def test_composites_agree(zennit: Zennit, name: str) -> None:
    make, options = CASES[name]
    net, x = plain_net(), images()
    ours = lxt.attribute(net, x, TARGET, make(eps=TINY, stabilizer=TINY, **options))
    theirs = getattr(zennit.composites, name)(epsilon=TINY, stabilizer=TINY, **options)
    assert off(ours.relevance, zennit_relevance(zennit, theirs, net, x, TARGET)) < 1e-6


@pytest.mark.parametrize("name", CASES)
def test_composites_agree_with_their_defaults(zennit: Zennit, name: str) -> None:
    make, options = CASES[name]
    net, x = plain_net(), images()
    ours = lxt.attribute(net, x, TARGET, make(**options))
    theirs = getattr(zennit.composites, name)(**options)
    assert off(ours.relevance, zennit_relevance(zennit, theirs, net, x, TARGET)) < DEFAULTS[name]


@pytest.mark.parametrize("low", [-4.0, torch.full((3, 1, 1), -4.0)], ids=["number", "channels"])
def test_box_bounds(zennit: Zennit, low: Any) -> None:
    net, x = plain_net(), images()
    ours = lxt.attribute(
        net, x, TARGET, composites.EpsilonGammaBox(low, HIGH, eps=TINY, stabilizer=TINY)
    )
    shaped = low[None] if isinstance(low, torch.Tensor) else low  # zennit's begin with the batch
    theirs = zennit.composites.EpsilonGammaBox(shaped, HIGH, epsilon=TINY, stabilizer=TINY)
    assert off(ours.relevance, zennit_relevance(zennit, theirs, net, x, TARGET)) < 1e-6


def test_excitation_backprop(zennit: Zennit) -> None:
    """Ours leaves the biases out, as its paper does; zennit does so when it is asked to."""
    net, x = plain_net(), images()
    ours = lxt.attribute(net, x, TARGET, composites.ExcitationBackprop(TINY)).relevance
    theirs = zennit.composites.ExcitationBackprop(TINY, zero_params=["bias"])
    assert off(ours, zennit_relevance(zennit, theirs, net, x, TARGET)) < 1e-6
    default = zennit.composites.ExcitationBackprop()
    assert off(ours, zennit_relevance(zennit, default, net, x, TARGET)) > 0.05


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("Deconvnet", "DeconvNet"),
        ("GuidedBackprop", "GuidedBackprop"),
        ("BetaSmooth", "BetaSmooth"),
    ],
)
def test_modified_gradients(zennit: Zennit, name: str, theirs: str) -> None:
    """zennit returns the modified gradient: our ``a.gradient``; x times it is ``relevance``."""
    net, x = plain_net(), images()
    ours = lxt.attribute(net, x, TARGET, getattr(composites, name)())
    other = getattr(zennit.composites, theirs)()
    gradient = zennit_relevance(zennit, other, net, x, TARGET, seed=True)
    assert off(ours.gradient, gradient) < 1e-12
    assert off(ours.relevance, x * gradient) < 1e-12


def test_plain_gradients_differ(zennit: Zennit) -> None:
    """The comparisons above can fail: no composite agrees with another, nor with none."""
    net, x = plain_net(), images()
    found = [
        zennit_relevance(zennit, getattr(zennit.composites, n)(**CASES[n][1]), net, x, TARGET)
        for n in CASES
    ]
    found.append(lxt.attribute(net, x, TARGET, "gradient").relevance)
    assert all(off(a, b) > 1e-2 for i, a in enumerate(found) for b in found[:i])
