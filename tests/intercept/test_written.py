"""Numbers that a model adds to its signal or writes over it are declared as ``constant``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from tests.support import account, inline, random

Write = Callable[[Tensor, float], Any]

SOME = torch.tensor([0, 2])
WHERE = torch.tensor([True, False, False, True, False, False])
PLACES = torch.tensor([[0, 1], [2, 3]])
ONES = torch.ones(6, dtype=torch.float64)


def into(write: Write, y: Tensor, c: float) -> Tensor:
    """What ``write`` leaves in a copy of ``y``."""
    y = y.clone()
    write(y, c)
    return y


def padded(y: Tensor, c: float) -> Tensor:
    rows = nn.utils.rnn.pad_sequence([y[:1], y], padding_value=c, batch_first=True)
    return rows[0]


OUT_OF_PLACE: dict[str, Write] = {
    "pad": lambda y, c: F.pad(y, (1, -1), value=c),
    "pad, all by name": lambda y, c: F.pad(input=y, pad=(1, 0), mode="constant", value=c),
    "pad in two dimensions": lambda y, c: F.pad(y, (1, 0, 1, -1), "constant", c),
    "a padding layer": lambda y, c: nn.ConstantPad1d(1, c)(y),
    "constant_pad_nd": lambda y, c: torch.constant_pad_nd(y, (2, 0), c),
    "pad_sequence": padded,
    "index_fill": lambda y, c: y.index_fill(1, SOME, c),
    "index_fill by name": lambda y, c: torch.index_fill(y, dim=1, index=SOME, value=c),
    "index_fill, a tensor": lambda y, c: y.index_fill(1, SOME, torch.tensor(c)),
    "scatter": lambda y, c: y.scatter(1, PLACES, c),
    "scatter by name": lambda y, c: torch.scatter(y, dim=1, index=PLACES, value=c),
    "index_put": lambda y, c: y.index_put((SOME[:1], SOME[1:]), torch.tensor(c).double()),
    "masked_fill": lambda y, c: y.masked_fill(WHERE, c),
    "where": lambda y, c: torch.where(WHERE, c, y),
    "where as a method": lambda y, c: y.where(WHERE, c),
    "where as a method, by name": lambda y, c: y.where(condition=WHERE, other=c),
    "add": lambda y, c: torch.add(y, c, alpha=2),
    "added to a number": lambda y, c: torch.add(c, y, alpha=2),
    "sub": lambda y, c: torch.sub(y, c, alpha=3),
    "taken from a number": lambda y, c: c - y,
    "rsub": lambda y, c: torch.rsub(y, c, alpha=2),
    "addcmul": lambda y, c: torch.addcmul(y, ONES, ONES, value=c),
}
IN_PLACE: dict[str, Write] = {
    "index_fill_": lambda y, c: y.index_fill_(1, SOME, c),
    "index_fill_ in a view": lambda y, c: y[:, 1:4].index_fill_(dim=1, index=SOME, value=c),
    "scatter_": lambda y, c: y.scatter_(1, PLACES, c),
    "scatter_ by name": lambda y, c: y.scatter_(dim=1, index=PLACES, value=c),
    "fill_diagonal_": lambda y, c: y.fill_diagonal_(c),
    "fill_diagonal_ by name": lambda y, c: y.fill_diagonal_(fill_value=c, wrap=True),
    "fill_diagonal_ in a view": lambda y, c: y[:, 2:].fill_diagonal_(c),
    "masked_fill_ by name": lambda y, c: y.masked_fill_(mask=WHERE, value=c),
    "assigned": lambda y, c: y.__setitem__((slice(None), 1), c),
    "assigned by a mask": lambda y, c: y.__setitem__(WHERE.expand(2, 6), c),
    "fill_ by name": lambda y, c: y[:, :2].fill_(value=c),
    "add_": lambda y, c: y.add_(c, alpha=2),
}
WRITES = {**OUT_OF_PLACE, **{name: partial(into, f) for name, f in IN_PLACE.items()}}


def model(write: Write, c: float) -> Any:
    return inline(lambda m, x: write(m.a(x), c)[..., :6])


@pytest.mark.parametrize("name", WRITES)
def test_a_number_is_declared(name: str) -> None:
    """All is linear: what the number keeps is what the score loses where it is 0."""
    x = random(2, 6)
    found = account(model(WRITES[name], 2.5), x)
    without = lxt.attribute(model(WRITES[name], 0.0), x, 0, ledger=True)
    torch.testing.assert_close(
        found.ledger.entries["constant"], found.score - without.score, rtol=1e-10, atol=1e-12
    )
    assert "constant" not in without.ledger.entries
    torch.testing.assert_close(found.relevance, without.relevance)


def test_a_number_that_masks_keeps_nothing() -> None:
    def attend(m: Any, x: Tensor) -> Tensor:
        scores = m.a(x).index_fill(1, SOME, float("-inf"))
        return F.pad(scores, (0, 1), value=float("-inf")).softmax(-1)[:, :6] * x

    assert "constant" not in account(inline(attend), random(2, 6)).ledger.entries


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
@pytest.mark.parametrize(
    "name", [n for n in WRITES if n.startswith(("index_fill_", "fill_diag", "scatter_", "mask"))]
)
def test_what_is_written_over_a_gate_leaves_it_one(name: str, composite: str) -> None:
    """As where the same number is put there without a write: masked out, and added."""
    write = WRITES[name]
    free = (write(torch.zeros(2, 6).double(), 1.0) == 0).double()

    def gated(m: Any, x: Tensor) -> Tensor:
        return write(m.a(x).sigmoid() * 1.0, 0.5) * m.b(x)

    def spelled(m: Any, x: Tensor) -> Tensor:
        return (m.a(x).sigmoid() * free + 0.5 * (1 - free)) * m.b(x)

    x = random(2, 6)
    found = account(inline(gated), x, composite=composite)
    want = lxt.attribute(inline(spelled), x, 0, composite)
    torch.testing.assert_close(found.relevance, want.relevance)
