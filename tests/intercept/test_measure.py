"""Measuring is faithful: values as they were, each consumer apart, each sample apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.intercept.records import Record
from tests.support import account, inline, random


def rows(model: nn.Module, x: Tensor, composite: str = "attnlrp") -> list[tuple[str, str, float]]:
    audit = lxt.audit(model, x, 0, composite)
    assert audit.ok, str(audit)
    return [(r.op, r.kind, r.arrived) for r in audit.rows]


def test_records() -> None:
    record = Record("op", "linear", "m")
    record.arrived[0], record.passed[0] = 3.0, 2.0
    record.kept("bias")[0] += 0.25
    record.kept("bias")[0] += 0.25
    record.kept("position")[0] += 0.1
    assert record.residual(0) == pytest.approx(0.4)
    assert record.residual(1) == 0.0


def test_every_operation_that_carries_relevance_is_listed_in_order() -> None:
    model, x = inline(lambda m, x: torch.relu(m.a(x)) + m.b(x)), random(2, 6)
    listed = rows(model, x)
    assert [(op, kind) for op, kind, _ in listed] == [
        ("linear", "linear"),
        ("relu", "activation"),
        ("linear", "linear"),
        ("add", "add"),
        ("linear", "linear"),
    ]
    score = float(model(x)[:, 0].sum())
    assert listed[-1][2] == pytest.approx(score, rel=1e-12)
    # the sum hands on to its addends what it got
    assert listed[1][2] + listed[2][2] == pytest.approx(listed[3][2], rel=1e-11)


def test_values_are_kept_as_they_were() -> None:
    """What is overwritten later was read before."""

    def body(m: nn.Module, x: Tensor) -> Tensor:
        y = m.a(x)
        z = y + m.b(x)  # reads y
        y.mul_(3.0)  # and then y changes
        y[:, 0] = 0.0
        return z + y

    account(inline(body), random(2, 6))


def test_a_buffer_written_again_and_again() -> None:
    def body(m: nn.Module, x: Tensor) -> Tensor:
        out = torch.zeros(len(x), 6, dtype=x.dtype)
        for i in range(3):
            out[:, i] = m.a(x)[:, i]
            out += m.b(x)
        return out

    account(inline(body), random(2, 6))


def test_operations_without_relevance_are_left_out() -> None:
    model = inline(lambda m, x: m.a(x) + 0 * m.b(x).detach().sigmoid())
    assert all(op != "sigmoid" for op, _, _ in rows(model, random(2, 6)))


def test_an_unseen_node_is_measured_where_its_values_are_known() -> None:
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return 2 * x + 1  # the offset is nobody's

        @staticmethod
        def backward(ctx: object, g: Tensor) -> Tensor:
            return 2 * g

    model, x = inline(lambda m, x: Twice.apply(m.a(x))), random(2, 6)
    with pytest.warns(lxt.errors.UnruledWarning, match="TwiceBackward"):
        got = lxt.attribute(model, x, 0, strict=False, ledger=True)
    lost = float(model.c.weight[0].sum())
    assert got.ledger.gap.tolist() == pytest.approx([lost, lost], rel=1e-11)
    assert got.ledger.unruled.tolist() == pytest.approx([abs(lost)] * 2, rel=1e-11)


class Square(torch.autograd.Function):
    """Its gradient gives out twice the relevance that came in."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * g


WRAPS = {"list": list, "tuple": tuple, "dict": lambda o: {"logits": o[0]}, "bare": lambda o: o[0]}


@pytest.mark.parametrize("kind", WRAPS)
def test_an_unseen_node_is_measured_where_nothing_follows_it(kind: str) -> None:
    model, x = inline(lambda m, x: m.a(x)), random(2, 6)
    model.register_forward_hook(lambda m, args, out: WRAPS[kind]([Square.apply(out)]))
    with pytest.warns(lxt.errors.UnruledWarning, match="SquareBackward"):
        got = lxt.attribute(model, x, 0, strict=False, ledger=True)
    assert got.ledger.unruled.tolist() == pytest.approx(got.score.tolist(), rel=1e-11)
    assert got.ledger.gap.tolist() == pytest.approx((-got.score).tolist(), rel=1e-11)


def test_a_module_made_in_the_forward() -> None:
    """torch.nn.init writes into tensors that it gets by name."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            last = nn.Linear(4, 2, dtype=torch.float64)
            nn.init.constant_(tensor=last.weight, val=0.5)
            return last(self.a(x))

    x = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model = Net()
    found = lxt.attribute(model, x, 0, ledger=True)
    assert torch.allclose(found.relevance, x * model.a.weight.sum(0) * 0.5, atol=1e-12)
    assert float(found.ledger.gap.abs().max()) < 1e-12
