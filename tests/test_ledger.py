"""The ledger: what it says it does, and that a wrong rule cannot hide in it."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import pytest
import torch

import lxt_like as lxt
from lxt_like.intercept.measure import Measure
from lxt_like.intercept.records import Record
from lxt_like.ledger import Ledger, make_ledger
from lxt_like.rules import CAUSES
from tests.models.tiny import build, inputs
from tests.support import inline, random


def ledger(gap: float = 0.0, unruled: float = 0.0) -> Ledger:
    column = torch.tensor([1.0], dtype=torch.float64)
    return Ledger(
        column, 0.75 * column - gap, {"bias": 0.25 * column}, unruled * column, gap * column
    )


@pytest.mark.parametrize(
    ("gap", "unruled", "closed"),
    [(0.0, 0.0, True), (1e-5, 0.0, True), (1e-3, 0.0, False), (0.0, 1e-3, False)],
)
def test_closed(gap: float, unruled: float, closed: bool) -> None:
    assert ledger(gap, unruled).closed == closed
    assert not ledger(float("nan")).closed


@pytest.mark.parametrize("moved", [0.0, 1.0, 9.0])
def test_a_leak_of_a_thousandth_is_seen(moved: float) -> None:
    column = torch.ones(1, dtype=torch.float64)
    for gap, unruled in ((1e-3, 0.0), (0.0, 1e-3)):
        args = (column, column - gap, {}, unruled * column, gap * column)
        assert not Ledger(*args, moved=moved * column).closed


def test_records_are_summed_by_cause_and_sample() -> None:
    measure = Measure()
    for arrived, passed, kept in ((3.0, 2.0, 1.0), (2.0, 2.5, -0.5), (1.0, 0.0, 0.25)):
        record = Record("op", "linear", "m")
        record.arrived[0], record.passed[0] = arrived, passed
        record.kept("bias")[0] += kept
        measure.records.append(record)
    measure.records[0].kept("position")[1] += 2.0
    made = make_ledger(measure, torch.tensor([4.0, 5.0]), torch.tensor([3.0, 1.0]), {})
    assert made.entries["bias"].tolist() == [0.75, 0.0]
    assert made.entries["position"].tolist() == [0.0, 2.0]
    assert made.unruled.tolist() == [0.75, 2.0]  # absolute values: nothing cancels
    assert made.gap.tolist() == [0.25, 2.0]


def test_account_and_text() -> None:
    account = ledger().account(0)
    assert (account.score, account.inputs, dict(account.entries)) == (1.0, 0.75, {"bias": 0.25})
    lines = str(ledger()).splitlines()
    assert [line.split()[0] for line in lines if line[0] != "-"] == [
        "inputs",
        "bias",
        "gap",
        "score",
        "unruled",
    ]
    assert "+0.75" in lines[0]


@dataclass(frozen=True)
class ThirdsOnly(lxt.rules.Uniform):
    """A faulty rule: a third of the relevance is lost, and nobody declares it."""

    def product(self, a: Any, b: Any, sources: Any, fuse: bool = False) -> Any:
        from lxt_like.rules.base import scaled

        return scaled(a, 1 / 3) * scaled(b, 1 / 3)


def test_a_faulty_rule_is_found_out() -> None:
    model, x = inline(lambda m, x: m.a(x) * m.b(x)), random(2, 6)
    faulty = lxt.composites.AttnLRP() + lxt.Composite([ThirdsOnly()])
    got = lxt.attribute(model, x, 0, faulty, ledger=True)
    lost = (model.a(x) * model.b(x) @ model.c.weight[0]) / 3
    assert got.ledger.gap.tolist() == pytest.approx(lost.tolist(), rel=1e-11)
    assert got.ledger.unruled.tolist() == pytest.approx(lost.abs().tolist(), rel=1e-11)
    assert not got.ledger.closed
    audit = lxt.audit(model, x, 0, faulty)
    worst = max(audit.rows, key=lambda r: r.residual)
    assert (worst.op, worst.kind) == ("mul", "product")
    assert "ThirdsOnly" in worst.rule
    assert "NOT ok" in str(audit)


@dataclass(frozen=True)
class Leaks(lxt.rules.Uniform):
    """A faulty rule: a thousandth of the relevance is lost."""

    def product(self, a: Any, b: Any, sources: Any, fuse: bool = False) -> Any:
        from lxt_like.rules.base import scaled

        return scaled(a, 0.5) * scaled(b, 0.499)


@pytest.mark.parametrize("rest", [1.0, 1e-3, 1e-6])
def test_rounding_of_branches_that_cancel_is_no_leak(rest: float) -> None:
    """In float32 what two large branches leave of each other is small, their rounding is not."""

    def cancels(m: Any, x: torch.Tensor) -> torch.Tensor:
        return m.a(x) * m.b(x) - (1 - rest) * (m.a(x) * m.b(x))

    model, x = inline(cancels, 64, torch.float32), random(3, 64, dtype=torch.float32)
    model.c.bias.zero_()
    book = lxt.attribute(model, x, 0, ledger=True).ledger
    assert book.closed, str(book)
    product = model.a(x) * model.b(x) @ model.c.weight[0]
    torch.testing.assert_close(book.moved, product.abs().double(), rtol=1e-4, atol=1e-5)
    faulty = lxt.composites.AttnLRP() + lxt.Composite([Leaks()])
    assert not lxt.attribute(model, x, 0, faulty, ledger=True).ledger.closed


def test_samples_have_their_own_accounts() -> None:
    model, batch = build("bert"), inputs("bert", batch=3)
    together = lxt.attribute(model, batch, 0, ledger=True).ledger
    for row in range(3):
        one = {k: v[row : row + 1] for k, v in batch.items()}
        alone = lxt.attribute(model, one, 0, ledger=True).ledger
        assert together.entries.keys() == alone.entries.keys()
        for cause, amounts in alone.entries.items():
            assert float(together.entries[cause][row]) == pytest.approx(float(amounts[0]), abs=1e-5)


def test_causes_are_documented() -> None:
    causes: set[str] = set()
    for name, layer in (("bert", "bert.encoder.layer.0"), ("gemma2", "model.layers.0")):
        model = build(name, dtype=torch.float64)
        epsilon = lxt.composites.Epsilon(0.1)
        half = {layer: torch.full((1,), 0.5)}
        got = lxt.attribute(model, inputs(name), 0, epsilon, ledger=True, masks=half)
        causes |= set(got.ledger.entries)
    assert {"bias", "position", "token_type", "softmax", "epsilon", "rounding", "masked"} <= causes
    assert causes <= set(CAUSES)


def test_explanations_with_a_ledger_leave_no_tensors_behind() -> None:
    model, x = inline(lambda m, x: m.a(x) * m.b(x).softmax(-1)), random(2, 6)

    def alive() -> int:
        for _ in range(3):
            lxt.attribute(model, x, 0, ledger=True)
        gc.collect()
        return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())

    before = alive()
    assert alive() <= before  # what other tests left behind may go meanwhile


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_positions_token_by_token(name: str) -> None:
    """The entry of the positions, by token: what an explained tensor in their place would get."""
    model, batch = build(name), inputs(name)
    book = lxt.attribute(model, batch, 1, ledger=True).ledger
    if name == "llama":  # rotary: nothing is added
        assert book.positions == {}
        return
    (shares,) = book.positions.values()
    assert shares.shape == batch["input_ids"].shape
    assert torch.allclose(shares.sum(1), book.entries["position"], atol=1e-9)
    table = model.bert.embeddings.position_embeddings if name == "bert" else model.transformer.wpe
    seen: list[torch.Tensor] = []

    def leaf(_: Any, __: Any, out: torch.Tensor) -> torch.Tensor:
        seen.append(out.detach().expand(2, -1, -1).clone().requires_grad_())
        return seen[0]

    hook = table.register_forward_hook(leaf)
    with lxt.patch(model):
        model(**batch).logits[:, 1].sum().backward()
    hook.remove()
    wanted = (seen[0] * seen[0].grad).sum(-1).double()
    assert torch.allclose(shares, wanted, atol=1e-6)


def test_positions_of_two_lengths_in_one_module() -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.pos_a = torch.nn.Parameter(torch.randn(3, 4))
            self.pos_b = torch.nn.Parameter(torch.randn(2, 4))
            self.head = torch.nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head((x + self.pos_a).sum(1) + (x[:, :2] + self.pos_b).sum(1))

    model = Two()
    book = lxt.attribute(model, torch.randn(2, 3, 4), 1, ledger=True).ledger
    assert set(book.positions) == {" (3 tokens)", " (2 tokens)"}
    for length, table in ((3, model.pos_a), (2, model.pos_b)):
        wanted = (table @ model.head.weight[1]).double()
        assert torch.allclose(book.positions[f" ({length} tokens)"], wanted.expand(2, -1))
    assert book.closed
