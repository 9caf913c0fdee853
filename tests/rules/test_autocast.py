"""A backward does not depend on whether autocast surrounds it: rules compute in full precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import rules
from tests.oracles.arrays import relative_error
from tests.support import draw, random

COMPOSITES = [
    "attnlrp",
    "cp_lrp",
    "attnlrp_gamma",
    "epsilon",
    "epsilon_plus",
    "epsilon_alpha2_beta1",
]


class Net(nn.Module):
    """Rows that no relevance reaches, and a head of its own."""

    def __init__(self, act: Callable[[Tensor], Tensor] = F.gelu, whole_head: bool = False) -> None:
        super().__init__()
        self.a, self.n, self.b = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8)
        self.o = nn.Linear(8, 3)
        self.act, self.whole_head = act, whole_head

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.b(self.act(self.n(self.a(x)))))[:, 0]
        with torch.autocast("cpu", enabled=not self.whole_head):
            out: Tensor = self.o(h.float() if self.whole_head else h)
        return out


class Convs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.b = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)
        self.o = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.o(F.relu(self.b(F.relu(self.n(self.a(x))))).mean((2, 3)))
        return out


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.o = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        weights = (self.q(x) @ self.k(x).mT).softmax(-1)
        out: Tensor = self.o(weights @ self.v(x) * torch.sigmoid(self.q(x)))[:, 0]
        return out


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "rows": (Net, (2, 9, 8)),
    "head in full precision": (lambda: Net(whole_head=True), (2, 9, 8)),
    "in place": (lambda: Net(F.relu_), (2, 9, 8)),
    "convolutions": (Convs, (2, 2, 8, 8)),
    "attention": (Attending, (2, 9, 8)),
}


def made(name: str) -> tuple[Any, Tensor]:
    build, shape = MODELS[name]
    return draw(build()), random(*shape, dtype=torch.float32)


def cast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def by_patch(model: Any, x: Tensor, composite: Any, inside: bool) -> Tensor:
    """With the forward under autocast, and the backward if ``inside``."""
    x = x.clone().requires_grad_()
    with lxt.patch(model, composite):
        with cast():
            score = model(x.clone())[:, 0].sum()  # of a leaf, autocast keeps one cast for all
            if inside:
                score.backward()
        if not inside:
            score.backward()
    assert x.grad is not None
    return x.detach() * x.grad


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", MODELS)
def test_autocast_around_all_of_it(name: str, composite: str) -> None:
    model, x = made(name)
    wanted = by_patch(model, x, composite, inside=False)
    full = lxt.attribute(model, x, 0, composite).relevance
    assert relative_error(wanted, full) < 0.2  # bfloat16 forward values
    with cast():
        found = lxt.attribute(model, x, 0, composite).relevance
    assert relative_error(found, wanted) < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_a_ledger_under_autocast(name: str) -> None:
    model, x = made(name)
    with cast():
        lean = lxt.attribute(model, x, 0, "epsilon_plus")
        measured = lxt.attribute(model, x, 0, "epsilon_plus", ledger=True)
    assert relative_error(measured.relevance, lean.relevance) < 2e-2
    outside = measured.ledger
    assert outside is not None and bool((outside.gap.abs() < 0.1 * outside.inputs.abs()).all())


RULES = [
    rules.Epsilon(0.1),
    rules.ZPlus(),
    rules.AlphaBeta(2.0, 1.0),
    rules.Gamma(0.25),
    rules.ClassicGamma(0.25),
]


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("overwritten", [False, True])
def test_a_rule_computes_in_float32(rule: Any, overwritten: bool) -> None:
    """On the bfloat16 values that the forward left, whatever surrounds the backward."""
    composite = lxt.Composite(
        [lxt.Assign(rule, kind="linear"), lxt.Assign(rules.Identity(), kind="activation")]
    )
    model = draw(nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=overwritten), nn.Linear(8, 3)))
    x = random(4, 8, dtype=torch.float32)
    inside, outside = (by_patch(model, x, composite, inside) for inside in (True, False))
    assert torch.equal(inside, outside)


def test_parameters_that_are_not_frozen_get_their_gradients() -> None:
    model = draw(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))).requires_grad_()
    x = random(4, 8, dtype=torch.float32).requires_grad_()
    grads = []
    for composite in ("gradient", "epsilon"):
        model.zero_grad()
        with lxt.patch(model, composite, freeze=False), cast():
            model(x)[:, 0].sum().backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    for mine, plain in zip(grads[1], grads[0], strict=True):
        assert mine.dtype == torch.float32
        assert relative_error(mine, plain) < 2e-2
