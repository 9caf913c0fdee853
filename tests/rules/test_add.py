"""Sums hand on contributions as they are; constants are declared by their cause."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.oracles import linear as oracle
from tests.oracles.arrays import relative_error
from tests.support import account, draw, explained, inline, random


def test_addends_take_their_own_share() -> None:
    a, b = random(3, 4).requires_grad_(), random(3, 4, seed=1).requires_grad_()
    R, (R_a, R_b) = explained(a + b, a, b)
    want = oracle.add([a, b], R)
    assert relative_error(R_a, want[0]) < 1e-12
    assert relative_error(R_b, want[1]) < 1e-12


class Positions(nn.Module):
    """x + table[0..n) written in several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.position_embeddings = nn.Embedding(4, 6)
        self.pos = nn.Parameter(torch.zeros(1, 4, 6))
        self.shift = nn.Parameter(torch.zeros(6))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        at = torch.arange(x.shape[1])
        if self.way == "module":
            x = x + self.position_embeddings(at)
        elif self.way == "parameter":
            x = x + self.pos[:, : x.shape[1]]
        elif self.way == "in place":
            x = x + 0
            x += self.position_embeddings(at)[None]
        elif self.way == "subtracted":
            x = x - self.pos
        else:
            x = torch.add(x, self.shift, alpha=2)
        return self.head(x.mean(1))


@pytest.mark.parametrize(
    ("way", "cause"),
    [
        ("module", "position"),
        ("parameter", "position"),
        ("in place", "position"),
        ("subtracted", "position"),
        ("a parameter", "constant"),
    ],
)
def test_constants_are_named(way: str, cause: str) -> None:
    model, x = draw(Positions(way)).double(), random(2, 4, 6)
    ledger = account(model, x).ledger
    assert ledger is not None
    with torch.no_grad():
        head, table = model.head.weight[0], model.position_embeddings
        added = {
            "constant": 2 * model.shift.expand(4, 6),
            "position": table.weight if way in ("module", "in place") else model.pos[0],
        }[cause]
        want = float((added @ head).mean()) * (-1 if way == "subtracted" else 1)
    assert ledger.entries[cause].tolist() == pytest.approx([want, want], rel=1e-11)
    assert set(ledger.entries) == {cause, "bias"}


NUMBERS = {
    "x + 2": lambda m, x: x + 2,
    "2 + x": lambda m, x: 2 + x,
    "x - 2": lambda m, x: x - 2,
    "2 - x": lambda m, x: 2 - x,
    "x.add(2, alpha=3)": lambda m, x: x.add(2, alpha=3),
    "sub(x, 2, alpha=3)": lambda m, x: torch.sub(x, 2, alpha=3),
    "rsub": lambda m, x: torch.rsub(x, 2, alpha=3),
    "x += 2": lambda m, x: x.clone().add_(2),
    "masked_fill": lambda m, x: x.masked_fill(x.detach() > 1, 2.0),
    "where": lambda m, x: torch.where(x.detach() > 1, 2.0, x),
    "where, otherwise": lambda m, x: torch.where(x.detach() < 1, x, 2.0),
    "setitem": lambda m, x: _write(x, lambda y: y.__setitem__((slice(None), 0), 2.0)),
    "masked setitem": lambda m, x: _write(x, lambda y: y.__setitem__(y.detach() > 1, 2.0)),
    "fill": lambda m, x: _write(x, lambda y: y[:, 0].fill_(2.0)),
    "masked_fill_": lambda m, x: _write(x, lambda y: y.masked_fill_(y.detach() > 1, 2.0)),
}


def _write(x: Tensor, write: Callable[[Tensor], object]) -> Tensor:
    y = x.clone()
    write(y)
    return y


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_constants(name: str) -> None:
    ledger = account(inline(NUMBERS[name]), random(3, 6)).ledger
    assert ledger is not None
    assert bool((ledger.entries["constant"].abs() > 1e-3).any())
