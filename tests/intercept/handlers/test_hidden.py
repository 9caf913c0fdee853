"""Functions that add constants inside: each against the same written out, share by share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import UnruledError
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, inline, random

POINT, SLOPES = random(6, seed=3), random(6, seed=4)
SURE = random(6, seed=5).softmax(0)
PLACES = torch.tensor([[0, 5, 1, 3, 4, 2]])
POOLED = torch.tensor([[[[0, 3], [9, 14]]]])

# the function of h [2, 6], and the same written out; p, v, e: a constant operand of shape [6]
PAIRS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "pairwise distance": (
        lambda h: F.pairwise_distance(h, POINT, keepdim=True) * POINT,
        lambda h: (h - POINT + 1e-6).norm(dim=-1, keepdim=True) * POINT,
    ),
    "its operands turned, another norm": (
        lambda h: torch.pairwise_distance(x1=POINT, x2=h, p=3.0, eps=0.1)[:, None] * POINT,
        lambda h: (POINT - h + 0.1).norm(3, dim=-1, keepdim=True) * POINT,
    ),
    "PairwiseDistance of two signals": (
        lambda h: nn.PairwiseDistance(keepdim=True)(h, h.flip(-1)) * POINT,
        lambda h: (h - h.flip(-1) + 1e-6).norm(dim=-1, keepdim=True) * POINT,
    ),
    "l1": (lambda h: h * 0 + F.l1_loss(h, POINT.expand(2, 6), reduction="none"), lambda h: (
        h * 0 + (h - POINT).abs()
    )),
    "its mean": (
        lambda h: F.l1_loss(h[:, None], POINT.expand(2, 1, 6)) * POINT.expand(2, 6),
        lambda h: (h - POINT).abs().mean() * POINT.expand(2, 6),
    ),
    "its sum": (
        lambda h: F.l1_loss(POINT.expand(2, 6), h, size_average=False) * POINT.expand(2, 6),
        lambda h: (POINT - h).abs().sum() * POINT.expand(2, 6),
    ),
    "smooth l1 without a smooth part": (
        lambda h: F.smooth_l1_loss(h, POINT.expand(2, 6), beta=0.0, reduction="none"),
        lambda h: (h - POINT).abs(),
    ),
    "Kullback-Leibler": (
        lambda h: F.kl_div(h, SURE.expand(2, 6), reduction="none"),
        lambda h: SURE * SURE.log() - SURE * h,
    ),
    "its log target": (
        lambda h: F.kl_div(h, POINT.expand(2, 6), reduction="none", log_target=True),
        lambda h: POINT.exp() * POINT - POINT.exp() * h,
    ),
    "prelu": (
        lambda h: F.prelu(h, SLOPES),
        lambda h: torch.where(h > 0, 1.0, SLOPES) * h,
    ),
    "slopes that are a signal": (
        lambda h: torch.stack([F.prelu(POINT[None], row) for row in h]).squeeze(1),
        lambda h: POINT.clamp(min=0) + POINT.clamp(max=0) * h,
    ),
    "row_stack": (
        lambda h: torch.row_stack([h, POINT])[:2] + torch.row_stack([h, POINT])[1:],
        lambda h: torch.cat([h, POINT[None]])[:2] + torch.cat([h, POINT[None]])[1:],
    ),
    "cartesian_prod": (
        lambda h: torch.cartesian_prod(h[:, 0], POINT).reshape(2, 12)[:, 3:9],
        lambda h: torch.stack(
            [h[:, :1].expand(2, 6), POINT.expand(2, 6)], -1
        ).reshape(2, 12)[:, 3:9],
    ),
    "diff": (
        lambda h: torch.diff(h, prepend=POINT[None, :1].expand(2, 1)),
        lambda h: h - torch.cat([POINT[None, :1].expand(2, 1), h[:, :-1]], 1),
    ),
    "the zeroth power": (
        lambda h: h + torch.linalg.matrix_power(h[:, :4].reshape(2, 2, 2), 0).reshape(2, 4)[:, :1],
        lambda h: h + torch.ones(2, 1, dtype=torch.float64),
    ),
    "scattered, more than the index": (
        lambda h: h.scatter(1, PLACES[:, :3].expand(2, 3), random(2, 6, seed=6)),
        lambda h: h.scatter(1, PLACES[:, :3].expand(2, 3), random(2, 6, seed=6)[:, :3]),
    ),
    "scattered from a signal": (
        lambda h: torch.ones_like(h).scatter_add_(1, PLACES[:, :3].expand(2, 3), src=h),
        lambda h: 1 + F.pad(h[:, :3], (0, 3))[:, PLACES[0].argsort()],
    ),
    "a table that is a signal": (
        lambda h: F.embedding(torch.tensor([0, 1]), h, padding_idx=1, scale_grad_by_freq=True),
        lambda h: h[torch.tensor([0, 1])],
    ),
    "a bag of a signal's rows": (
        lambda h: F.embedding_bag(torch.tensor([[0], [1]]), h, sparse=True, mode="sum"),
        lambda h: h[torch.tensor([0, 1])],
    ),
    "max_unpool": (
        lambda h: F.max_unpool2d(h[:, :4].view(2, 1, 2, 2), POOLED.expand(2, 1, 2, 2), 2)
        .flatten(1)[:, [0, 3, 9, 14, 1, 2]],
        lambda h: torch.cat([h[:, :4], torch.zeros(2, 2, dtype=torch.float64)], 1),
    ),
    "a reversed division": (
        lambda h: h.__rtruediv__(h.flip(-1)),
        lambda h: h.detach().reciprocal() * h.flip(-1),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.filterwarnings("ignore:size_average and reduce args")
@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", PAIRS)
def test_as_written_out(name: str, composite: str) -> None:
    short, long = (inline(lambda m, x, f=f: f(m.a(x))) for f in PAIRS[name])
    x = random(2, 6)
    got = account(short, x, composite=composite)
    want = account(long, x, composite=composite)
    torch.testing.assert_close(got.relevance, want.relevance, rtol=1e-11, atol=1e-13)
    assert got.ledger.entries.keys() == want.ledger.entries.keys()
    for cause, amount in want.ledger.entries.items():
        torch.testing.assert_close(got.ledger.entries[cause], amount, rtol=1e-11, atol=1e-12)


def no_grad_mul(h: Tensor) -> Tensor:
    with torch.no_grad():
        h.mul_(2.0)
    return h


def no_grad_item(h: Tensor) -> Tensor:
    with torch.no_grad():
        h[:, 0] = 1.0
    return h


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "places of several": (
        lambda h: F.max_unpool2d(h[:, :4].view(2, 1, 2, 2), 0 * POOLED.expand(2, 1, 2, 2), 2)
        .flatten(1)[:, :6],
        "max_unpool2d puts several values into one place",
    ),
    "a bounded table": (
        lambda h: F.embedding(torch.tensor([0, 1]), h, max_norm=0.1),
        "embedding with max_norm writes into a table",
    ),
    "no_grad mul_": (lambda h: no_grad_mul(h * 1), "mul_ writes into a tensor that depends on"),
    "no_grad item": (lambda h: no_grad_item(h * 1), "__setitem__ writes into a tensor"),
    "init": (lambda h: nn.init.zeros_(h * 1), "zero_ writes into a tensor"),
}  # fmt: skip


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, ledger: bool) -> None:
    function, said = REFUSED[name]
    with pytest.raises(UnruledError, match=said):
        lxt.attribute(inline(lambda m, x: function(m.a(x))), random(2, 6), 0, ledger=ledger)


@pytest.mark.parametrize("name", ["ge_", "eq_", "logical_not_", "logical_or_"])
def test_a_comparison_written_into_its_operand(name: str) -> None:
    """Nothing passes: what depends on the input there is cut off, and the ledger says so."""

    def body(m: Any, x: Tensor) -> Tensor:
        h = m.a(x)
        return m.b(x) + getattr(h, name)(*([POINT] if name != "logical_not_" else []))

    got = lxt.attribute(inline(body), random(2, 6), 0, ledger=True)
    want = lxt.attribute(inline(lambda m, x: m.b(x)), random(2, 6), 0)
    assert relative_error(got.relevance, want.relevance) < 1e-12
    assert float(torch.maximum(got.ledger.gap.abs(), got.ledger.unruled).max()) < 1e-12
