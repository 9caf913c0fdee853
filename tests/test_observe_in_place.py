"""Layers and masks at modules that overwrite what they are given, whatever the model goes on with.

The same model out of place is the definition.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.patch import install
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, closing_error, draw, random


class Half(nn.Module):
    """SiLU of the first features; in place, it returns the part that it wrote."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        if self.inplace:
            return F.silu(x[:, :4], inplace=True)
        return torch.cat([F.silu(x[:, :4]), x[:, 4:]], 1)


class Pair(nn.Module):
    """A ReLU that returns a tuple."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Any:
        return F.relu(x, inplace=self.inplace), None


class Affine(nn.Module):
    """x w + b, in place by x *= w; x += b."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.inplace = inplace
        self.w, self.b = nn.Parameter(torch.ones(8)), nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        if not self.inplace:
            return x * self.w + self.b
        x *= self.w
        x += self.b
        return x


MODULES: dict[str, Any] = {
    "relu": lambda inplace: [nn.ReLU(inplace)],
    "silu": lambda inplace: [nn.SiLU(inplace)],
    "hardtanh": lambda inplace: [nn.Hardtanh(-0.4, 0.7, inplace)],
    "dropout": lambda inplace: [nn.Dropout(0.5, inplace)],
    "block": lambda inplace: [nn.Sequential(nn.ELU(inplace=inplace), nn.LeakyReLU(0.1, inplace))],
    "tuple": lambda inplace: [Pair(inplace)],
    "affine": lambda inplace: [Affine(inplace)],
    "chain": lambda inplace: [nn.SiLU(inplace), Affine(inplace), nn.Hardswish(inplace)],
}


class Net(nn.Module):
    """c(steps(a(x))); in place, what the steps return is not used."""

    def __init__(self, make: Any, inplace: bool, used: bool = False) -> None:
        super().__init__()
        self.a, self.c = nn.Linear(6, 8), nn.Linear(8, 3)
        self.steps, self.inplace, self.used = nn.ModuleList(make(inplace)), inplace, used

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        for step in self.steps:
            out = step(h)
            if self.used or not self.inplace:
                h = out[0] if isinstance(out, tuple) else out
        return self.c(h)


def both(make: Any, used: bool = False) -> tuple[Net, Net]:
    return tuple(draw(Net(make, inplace, used)).double() for inplace in (True, False))


def options(net: Net, mask: Any) -> list[dict[str, Any]]:
    names = [f"steps.{i}" for i in range(len(net.steps))]
    return [{"layers": names}, *({"masks": {n: mask}, "layers": names} for n in names)]


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("mask", [0.0, 0.3, random(8)])
@pytest.mark.parametrize("name", MODULES)
def test_as_out_of_place(name: str, mask: Any, used: bool) -> None:
    (model, same), x = both(MODULES[name], used), random(3, 6)
    for composite in COMPOSITES:
        for asked in options(model, mask):
            want = lxt.attribute(same, x, 0, composite, **asked)
            lean = lxt.attribute(model, x, 0, composite, **asked)
            measured = lxt.attribute(model, x, 0, composite, ledger=True, **asked)
            assert closing_error(measured.ledger) < 1e-12
            for got in (lean, measured):
                assert torch.equal(got.output, model(x))
                torch.testing.assert_close(got.relevance, want.relevance, rtol=1e-12, atol=1e-14)
                assert list(got.layers) == list(want.layers)
                for layer, relevance in want.layers.items():
                    assert relevance.any() or mask == 0.0
                    assert relative_error(got.layers[layer], relevance) < 1e-12


class Views(nn.Module):
    """c(h) of h = a(x), in which a module wrote into a view."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.a, self.c, self.step = nn.Linear(6, 8), nn.Linear(8, 3), nn.SiLU(inplace)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        if not self.step.inplace:
            return self.c(torch.cat([self.step(h[:, :4]), h[:, 4:]], 1))
        self.step(h[:, :4])
        h[:, 4:].mul_(1.0)  # written once more, beside it
        return self.c(h)


@pytest.mark.parametrize("ledger", [False, True])
def test_a_view(ledger: bool) -> None:
    """Only a part of the tensor that the model goes on with was given to the module."""
    model, same = (draw(Views(inplace)).double() for inplace in (True, False))
    x = random(3, 6)
    for masks in (None, {"step": 0.0}, {"step": random(4)}):
        want = lxt.attribute(same, x, 0, layers=["step"], masks=masks)
        got = lxt.attribute(model, x, 0, layers=["step"], masks=masks, ledger=ledger)
        assert relative_error(got.relevance, want.relevance) < 1e-12
        assert got.layers["step"].any()
        assert relative_error(got.layers["step"], want.layers["step"]) < 1e-12
        if ledger:
            assert closing_error(got.ledger) < 1e-12


@pytest.mark.parametrize("ledger", [False, True])
def test_a_module_that_returns_a_part_of_what_it_wrote(ledger: bool) -> None:
    model, same = both(lambda inplace: [Half(inplace)])
    x, mask = random(3, 6), random(4)
    want = lxt.attribute(same, x, 0, layers=["steps.0"])
    got = lxt.attribute(model, x, 0, layers=["steps.0"], ledger=ledger)
    assert relative_error(got.layers["steps.0"], want.layers["steps.0"][:, :4]) < 1e-12
    whole = torch.cat([mask, torch.ones(4)])
    want = lxt.attribute(same, x, 0, masks={"steps.0": whole})
    got = lxt.attribute(model, x, 0, masks={"steps.0": mask}, ledger=ledger)
    assert relative_error(got.relevance, want.relevance) < 1e-12
    if ledger:
        assert closing_error(got.ledger) < 1e-12


@pytest.mark.parametrize("ledger", [False, True])
def test_what_goes_straight_to_the_input(ledger: bool) -> None:
    """The twin of an explained input that a module shifts in place goes on as well."""

    class Shifted(nn.Module):
        def __init__(self, inplace: bool) -> None:
            super().__init__()
            self.shift, self.conv = Affine(inplace), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            out = self.shift(x)
            return self.conv(x if self.shift.inplace else out)

    model, same = (draw(Shifted(inplace)).double() for inplace in (True, False))
    x = random(2, 8).sigmoid()
    composite = lxt.composites.EpsilonGammaBox(0.0, 1.0)
    for mask in (1.0, 0.5, 0.0):
        asked: dict[str, Any] = {"layers": ["shift"], "masks": {"shift": mask}}
        want = lxt.attribute(same, x, 0, composite, **asked)
        got = lxt.attribute(model, x, 0, composite, ledger=ledger, **asked)
        torch.testing.assert_close(got.relevance, want.relevance, rtol=1e-12, atol=1e-14)
        assert want.layers["shift"].any()
        assert relative_error(got.layers["shift"], want.layers["shift"]) < 1e-12
        if ledger:
            assert closing_error(got.ledger) < 1e-12


# -- what is read elsewhere ------------------------------------------------------------------------


class Keeps(nn.Module):
    """A linear layer that keeps its output, for others to read."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.kept = nn.Linear(6, 6), None

    def forward(self, x: Tensor) -> Tensor:
        self.kept = self.linear(x) * 1.0
        return self.kept


class Reads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.keeps, self.head = Keeps(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.keeps(x)
        return self.head(self.keeps.kept)


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("asked", [{"layers": ["keeps"]}, {"masks": {"keeps": 0.0}}])
def test_what_the_model_reads_elsewhere_is_an_error(asked: dict[str, Any], ledger: bool) -> None:
    """Its relevance would be 0, its mask do nothing."""
    model, x = draw(Reads()).double(), random(2, 6)
    with pytest.raises(InputError, match="nothing to look at in 'keeps': the model does not go on"):
        lxt.attribute(model, x, 0, ledger=ledger, **asked)
    assert install._attributes == {}
    got = lxt.attribute(model, x, 0, layers=["keeps*"], ledger=ledger)
    assert list(got.layers) == ["keeps.linear"]
    assert [row.layer for row in lxt.trace(model, x, 0).rows] == ["input", "keeps.linear", "head"]


def test_a_part_that_cannot_be_written_into() -> None:
    class Chunks(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return x.relu_().chunk(2, 1)

    model = draw(Net(lambda _: [Chunks()], True)).double()
    with pytest.raises(InputError, match=r"nothing to look at in 'steps\.0': it overwrites"):
        lxt.attribute(model, random(2, 6), 0, layers=["steps.0"])
    assert install._attributes == {}
