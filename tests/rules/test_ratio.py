"""Sums that split by size: the definition, and no blow-up where the addends cancel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import rules
from tests.support import bare, random
from tests.test_cnns import COMMON

COMPOSITE = lxt.Composite([rules.Zero(), *COMMON, rules.Ratio()])

Form = Callable[[Tensor, Tensor], Tensor]
FORMS: dict[str, tuple[Form, float, float]] = {
    "a + b": (lambda a, b: a + b, 1, 1),
    "a - b": (lambda a, b: a - b, 1, -1),
    "torch.add": (lambda a, b: torch.add(a, b, alpha=0.5), 1, 0.5),
    "sub": (lambda a, b: a.sub(b, alpha=2), 1, -2),
    "rsub": (lambda a, b: torch.rsub(a, b), -1, 1),
    "+=": (lambda a, b: (a * 1.0).__iadd__(b), 1, 1),
    "add_": (lambda a, b: (a * 1.0).add_(b, alpha=3), 1, 3),
    "-=": (lambda a, b: (a * 1.0).__isub__(b), 1, -1),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shapes", [((4, 6), (4, 6)), ((4, 6), (4, 1)), ((4, 3, 6), (4, 1, 6))])
def test_definition(form: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    call, p, q = FORMS[form]
    a, b = random(*shapes[0]), random(*shapes[1], seed=2)
    g = random(*shapes[0], seed=5)

    class Model(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return (call(a, b) * g).flatten(1)

    target = lxt.targets.Output(lambda out: out.sum(-1))
    for ledger in (False, True):
        found = lxt.attribute(Model(), {"a": a, "b": b}, target, COMPOSITE, ledger=ledger)
        one, two = p * a.numpy(), q * np.broadcast_to(b.numpy(), shapes[0])
        r = (one + two) * g.numpy()
        want_a = np.abs(one) / (np.abs(one) + np.abs(two)) * r
        want_b = np.abs(two) / (np.abs(one) + np.abs(two)) * r
        want_b = torch.from_numpy(want_b).sum_to_size(b.shape).numpy()
        np.testing.assert_allclose(found.relevance["a"].numpy(), want_a, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(found.relevance["b"].numpy(), want_b, rtol=1e-11, atol=1e-12)
    assert found.ledger is not None
    assert found.ledger.closed
    assert float(found.ledger.unruled.max()) < 1e-12


def test_constants_keep_their_share() -> None:
    x, c = random(2, 5), random(5, seed=1)
    book = lxt.attribute(bare(lambda t: t + c), x, 0, COMPOSITE, ledger=True)
    assert book.relevance[:, 0].tolist() == pytest.approx(x[:, 0].tolist())
    assert book.ledger is not None
    assert book.ledger.entries["constant"].tolist() == pytest.approx([float(c[0])] * 2)


class Cancelling(nn.Module):
    """Blocks that all but undo their shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6, bias=False) for _ in range(5))
        for i, layer in enumerate(self.layers):
            layer.weight.data = -torch.eye(6) + 0.002 * random(6, 6, seed=i).float()
        self.head = nn.Linear(6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x)


def test_nothing_blows_up() -> None:
    torch.manual_seed(2)
    model, x = Cancelling().double(), random(4, 6)
    layers = ["layers.*"]
    sizes = {}
    for name, composite in {"plain": "attnlrp", "ratio": COMPOSITE}.items():
        found = lxt.attribute(model, x, 0, composite, layers=layers)
        parts = [found.relevance, *found.layers.values()]
        sizes[name] = max(float((r.abs().sum(-1) / found.score.abs()).max()) for r in parts)
    assert sizes["plain"] > 1e3
    assert sizes["ratio"] < 20


def test_zero_plus_zero_is_finite() -> None:
    x = torch.zeros(1, 3).double()
    found = lxt.attribute(bare(lambda t: t + 2 * t), x, 0, COMPOSITE)
    assert found.relevance.tolist() == [[0, 0, 0]]


WRITES: dict[str, tuple[Form, Form]] = {
    "one addend": (
        lambda a, b: [a + b, F.relu(a, inplace=True)][0] + a,
        lambda a, b: (a + b) + F.relu(a),
    ),
    "the other, with the sum": (
        lambda a, b: b.__iadd__(a + b),
        lambda a, b: b + (a + b),
    ),
    "a part": (
        lambda a, b: _part_written(a, a + b),
        lambda a, b: torch.cat([a[:, :1] + (a + b)[:, :1], a[:, 1:]], 1),
    ),
    "the sum": (
        lambda a, b: (a + b).relu_() + a,
        lambda a, b: (a + b).relu() + a,
    ),
}


def _part_written(a: Tensor, z: Tensor) -> Tensor:
    a[:, :1] += z[:, :1]
    return a


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("ledger", [False, True])
def test_addends_may_be_overwritten_later(write: str, ledger: bool) -> None:
    class Model(nn.Module):
        def __init__(self, form: Form) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one, self.two = nn.Linear(5, 4), nn.Linear(5, 4)
            self.form = form

        def forward(self, x: Tensor) -> Tensor:
            return self.form(self.one(x), self.two(x))

    x = random(3, 5)
    found, want = (
        lxt.attribute(Model(form).double(), x, 1, "epsilon_plus_ratio", ledger=ledger)
        for form in WRITES[write]
    )
    assert torch.allclose(found.relevance, want.relevance, atol=1e-12)
    assert not ledger or (found.ledger is not None and found.ledger.closed)


def test_one_number_an_addition_is_kept() -> None:
    kept: list[int] = []

    def keep(t: Tensor) -> Tensor:
        kept.append(t.numel())
        return t

    a, b = (random(4, 6, seed=i).requires_grad_() for i in (0, 1))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        rules.Ratio().add(torch.add, a, b)
    assert kept == [24]
