"""Attention over constants: whether a table of the model's own, or values of each sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, closing_error, draw, random

EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)
HEADS, SLOTS, WIDTH = 2, 4, 5
BATCHES = range(1, 6)  # among them as many as heads, slots and features


class Net(nn.Module):
    """Two heads that attend over ``values(self, weights, given)`` [batch, heads, 1, width]."""

    def __init__(self, read: Callable[[Any, Tensor, Any], Tensor]) -> None:
        super().__init__()
        self.q, self.o, self.r = nn.Linear(6, 8), nn.Linear(HEADS * WIDTH, 3), nn.Linear(6, 3)
        self.table = nn.Parameter(torch.zeros(HEADS, SLOTS, WIDTH))
        self.one = nn.Parameter(torch.zeros(1, HEADS, SLOTS, WIDTH))
        self.code = nn.Embedding(SLOTS, WIDTH)
        self.enc = nn.Linear(3, WIDTH)
        self.read = read

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        weights = self.q(x).view(-1, HEADS, 1, SLOTS).softmax(-1)
        out: Tensor = self.o(self.read(self, weights, given).flatten(1)) + self.r(x)
        return out


def net(read: Callable[[Any, Tensor, Any], Tensor]) -> Any:
    model = draw(Net(read)).double()
    model.register_buffer("kept", random(1, HEADS, SLOTS, WIDTH, seed=8))
    return model


def per_head(table: Tensor, w: Tensor) -> Tensor:
    """The same without a batch of values: each head by itself."""
    return torch.stack([w[:, h] @ table[h] for h in range(HEADS)], 1)


OWN: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "a parameter": (lambda m, w, _: w @ m.table, lambda m: m.table),
    "made of one": (lambda m, w, _: w @ (m.table * 1.0), lambda m: m.table),
    "by einsum": (
        lambda m, w, _: torch.einsum("bhqs,hsd->bhqd", w, m.table * 1.0),
        lambda m: m.table,
    ),
    "by einsum, dots": (
        lambda m, w, _: torch.einsum("...qs,...sd->...qd", w, m.table + 0),
        lambda m: m.table,
    ),
    "with an axis for the batch": (lambda m, w, _: w @ m.one, lambda m: m.one[0]),
    "made with an axis for the batch": (lambda m, w, _: w @ (m.one * 1.0), lambda m: m.one[0]),
    "looked up": (
        lambda m, w, _: w @ (m.one + m.code(torch.arange(SLOTS))),
        lambda m: m.one[0] + m.code.weight,
    ),
    "a buffer": (lambda m, w, _: w @ (m.kept * 2), lambda m: 2 * m.kept[0]),
    "from the left": (
        lambda m, w, _: (m.table.mT.clone() @ w.mT).mT,
        lambda m: m.table,
    ),
}


@EVERY_COMPOSITE
@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("name", OWN)
def test_a_table_of_the_models_own(name: str, ledger: bool, composite: str) -> None:
    """The weights are features, whatever the size of the batch and however the table is made."""
    read, table = OWN[name]
    model = net(read)
    plain = net(lambda m, w, _: per_head(table(m).detach(), w))
    x = random(5, 6)
    want = lxt.attribute(plain, x, 0, composite).relevance
    for n in BATCHES:
        got = lxt.attribute(model, x[:n], 0, composite, ledger=ledger)
        assert relative_error(got.relevance, want[:n]) < 1e-12, n
        assert got.ledger is None or closing_error(got.ledger) < 1e-12


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("name", OWN)
def test_whether_or_not_it_is_frozen(name: str, freeze: bool) -> None:
    read, table = OWN[name]
    model = net(read).requires_grad_()
    want = lxt.attribute(
        net(lambda m, w, _: per_head(table(m).detach(), w)), random(5, 6), 0, "cp_lrp"
    )
    for n in BATCHES:
        x = random(5, 6)[:n].requires_grad_()
        with lxt.patch(model, "cp_lrp", freeze=freeze):
            (g,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
        assert relative_error(x * g, want.relevance[:n]) < 1e-12, n


GIVEN: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "@": lambda m, w, v: w @ v,
    "bmm": lambda m, w, v: torch.bmm(w.flatten(0, 1), v.flatten(0, 1)).unflatten(0, (-1, HEADS)),
    "einsum": lambda m, w, v: torch.einsum("bhqs,bhsd->bhqd", w, v),
    "einsum, dots": lambda m, w, v: torch.einsum("...qs,...sd->...qd", w, v),
    "one for all heads": lambda m, w, v: w @ v[:, :1],
    "through layers": lambda m, w, v: w @ m.enc(v[..., :3]),
    "chosen by it": lambda m, w, v: w @ m.code((10 * v[..., 0]).long() % SLOTS),
    "a table for each": lambda m, w, _: w @ m.table.expand(len(w), -1, -1, -1),
    "made a table for each": lambda m, w, _: w @ (m.one.expand(len(w), -1, -1, -1) * 1.0),
    "copies for each": lambda m, w, _: torch.bmm(
        w.flatten(0, 1), m.table.to(w).repeat(len(w), 1, 1)
    ).view(-1, HEADS, 1, WIDTH),
    "written into a table": lambda m, w, v: w @ _written(m.table, v),
}


def _written(table: Tensor, v: Tensor) -> Tensor:
    made = table.repeat(len(v), 1, 1, 1)
    made[:, :, 1:] = v[:, :, 1:]
    return made


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("name", GIVEN)
def test_values_of_each_sample(name: str, freeze: bool) -> None:
    """They take all under CP-LRP, as if they were signals: the weights pass nothing on."""
    model, v = net(GIVEN[name]).requires_grad_(), random(5, HEADS, SLOTS, WIDTH, seed=3)
    for n in BATCHES:
        x = random(5, 6)[:n].requires_grad_()
        with lxt.patch(model, "cp_lrp", freeze=freeze):
            (g,) = torch.autograd.grad(model(x, v[:n])[:, 0].sum(), x)
        assert relative_error(g, model.r.weight[0].expand(n, -1)) < 1e-12, n


@EVERY_COMPOSITE
@pytest.mark.parametrize("copied", [False, True])
def test_a_softmax_whose_axis_is_joined_to_the_batch(copied: bool, composite: str) -> None:
    """As slots compete for places: a batch of one must not differ, where nothing is joined."""

    class Slots(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.v, self.o = nn.Linear(6, 12), nn.Linear(6, 12), nn.Linear(9, 3)
            self.mix = nn.Parameter(torch.zeros(4, 3))

        def forward(self, x: Tensor) -> Tensor:
            scores = self.q(x).view(-1, 3, 4)
            if copied:
                scores = self.q(x).view(-1, 4, 3).mT
            weights = scores.softmax(1).reshape(-1, 4)  # [batch * slots, places]
            weights = (weights @ self.mix).view(-1, 3, 3)
            out: Tensor = self.o((weights @ self.v(x).view(-1, 3, 4)[..., :3]).flatten(1))
            return out

    model, x = draw(Slots()).double(), random(5, 6)
    alone = [lxt.attribute(model, x[i : i + 1], 0, composite).relevance[0] for i in range(5)]
    for n in BATCHES:
        got = lxt.attribute(model, x[:n], 0, composite, ledger=True)
        assert relative_error(got.relevance, torch.stack(alone[:n])) < 1e-12
