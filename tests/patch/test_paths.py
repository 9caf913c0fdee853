"""A module at several places of a model is meant by any of its paths."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.patch.paths import other_paths
from tests.models.tiny import build
from tests.oracles.arrays import relative_error
from tests.support import account, draw, random

X = random(2, 6)


class Twice(nn.Module):
    """One block at two places, and its parts under both."""

    def __init__(self) -> None:
        super().__init__()
        shared = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
        self.blocks = nn.ModuleList([shared, nn.Linear(6, 6), shared])
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


MODEL = draw(Twice()).double()


def test_paths() -> None:
    assert other_paths(MODEL) == {
        "blocks.0": ("blocks.2",),
        "blocks.0.0": ("blocks.2.0",),
        "blocks.0.1": ("blocks.2.1",),
        "blocks.0.2": ("blocks.2.2",),
    }
    assert other_paths(build("llama")) == {}


def test_paths_of_what_is_shared_inside_what_is_shared() -> None:
    inner = nn.Linear(2, 2)
    outer = nn.ModuleDict({"a": inner, "b": inner})
    model = nn.ModuleDict({"x": outer, "y": outer})
    assert other_paths(model) == {"x": ("y",), "x.a": ("x.b", "y.a", "y.b")}


def test_a_module_that_holds_itself() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2)})
    model["a"].back = model
    assert other_paths(model) == {}


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize(("first", "second"), [("blocks.0.2", "blocks.2.2"), ("*.0.*", "*.2.*")])
def test_an_assignment_by_any_of_them(first: str, second: str, ledger: bool) -> None:
    base = lxt.composites.AttnLRP().assignments
    one, two = (
        lxt.Composite([*base, lxt.Assign(lxt.rules.ZPlus(), kind="linear", name=name)])
        for name in (first, second)
    )
    found, wanted = (account(MODEL, X, 0, c).relevance for c in (two, one))
    if "*" not in first:
        assert relative_error(found, wanted) < 1e-12
    assert relative_error(found, lxt.attribute(MODEL, X, 0).relevance) > 1e-3
    x = X.clone().requires_grad_()
    with lxt.patch(MODEL, two):
        MODEL(x)[:, 0].sum().backward()
    assert relative_error((x * x.grad).detach(), found) < 1e-12
    for inputs in (None, X):
        rules = {r.path: r.rule for r in lxt.plan(MODEL, two, inputs).rows if r.kind == "linear"}
        assert rules["blocks.0.2"].startswith("ZPlus")
        assert rules["blocks.1"].startswith("Epsilon")


def test_counting_from_the_end_among_them() -> None:
    last = lxt.Assign(lxt.rules.ZPlus(), name="blocks.2.*", where="last")
    plan = lxt.plan(MODEL, lxt.Composite([*lxt.composites.AttnLRP().assignments, last]), X)
    chosen = [i for i, r in enumerate(plan.rows) if r.rule.startswith("ZPlus")]
    linears = [i for i, r in enumerate(plan.rows) if r.path == "blocks.0.2"]
    assert chosen == linears[-1:]
