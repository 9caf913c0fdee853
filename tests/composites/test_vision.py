"""The composites for vision transformers: which rule is where, and what gamma = 0 is."""

from __future__ import annotations

import pytest
import torch

import lxt_like as lxt
from lxt_like.composites import BOXED, PRESETS, Resolver
from tests.explain.image.conftest import vit
from tests.oracles.arrays import relative_error

VISION = [name for name in PRESETS if "lrp_gamma" in name]


def pixels(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 4 - 2


@pytest.mark.parametrize("name", VISION)
def test_rules_in_their_places(name: str) -> None:
    rows = lxt.plan(vit(), name, {"pixel_values": pixels()}).rows
    linear = [row for row in rows if row.kind in ("conv", "linear")]
    first, *rest = (row.rule for row in linear)
    box, gamma = "ZBox(low=-3.0, high=3.0)", repr(lxt.rules.Gamma(0.25))
    assert first == (box if name in BOXED else gamma)
    assert set(rest) == {repr(lxt.rules.Gamma(0.05))}
    attention = {row.rule for row in rows if row.kind == "attention"}
    assert attention == {"ValueOnly()" if name.startswith("cp") else "UniformAttention()"}


@pytest.mark.parametrize("attention", ["attnlrp", "cp_lrp"])
def test_without_gamma_they_are_the_plain_ones(attention: str) -> None:
    make = {"attnlrp": lxt.composites.AttnLRPGamma, "cp_lrp": lxt.composites.CPLRPGamma}[attention]
    model, inputs = vit(), {"pixel_values": pixels()}
    plain = lxt.attribute(model, inputs, 0, attention).relevance
    got = lxt.attribute(model, inputs, 0, make(0.0, 0.0)).relevance
    assert relative_error(got, plain) < 1e-6
    assert relative_error(lxt.attribute(model, inputs, 0, make()).relevance, plain) > 1e-2


@pytest.mark.parametrize("name", VISION)
def test_the_account_closes(name: str) -> None:
    found = lxt.attribute(vit(), {"pixel_values": pixels()}, None, name, ledger=True)
    assert found.ledger is not None and found.ledger.closed
    assert "softmax" not in found.ledger.entries or name.startswith("attnlrp")


def test_the_box_keeps_relevance_where_pixels_are_zero() -> None:
    """What activation * gradient cannot say: a grey pixel, 0 to the model, may speak."""
    model, grey = vit(), {"pixel_values": torch.zeros(1, 3, 32, 32)}
    assert not lxt.attribute(model, grey, 0, "attnlrp_gamma").relevance.any()
    assert lxt.attribute(model, grey, 0, "attnlrp_gamma_box").relevance.any()


def test_arguments_change_the_name() -> None:
    for name, make in BOXED.items():
        assert make().name == name and make(-1.0, 1.0).name is None
    assert lxt.composites.AttnLRPGamma(0.1).name is None
    assert lxt.composites.CPLRPGamma().name == "cp_lrp_gamma"
    rule = Resolver(lxt.composites.AttnLRPGamma(conv=0.0)).rule("conv", "")
    assert rule == lxt.rules.Epsilon(0.0)
