"""Softmax wherever it is written, as weights and as a signal; routers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, draw, inline, random

EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)
SPELLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "torch.softmax": lambda t: torch.softmax(t, -1),
    "F.softmax": lambda t: F.softmax(t, dim=-1),
    "method": lambda t: t.softmax(dim=-1),
    "by name": lambda t: torch.softmax(input=t, dim=-1),
    "module": nn.Softmax(dim=-1),
    "implicit dimension": lambda t: F.softmax(t),
    "special": lambda t: torch.special.softmax(t, -1),
}


@pytest.mark.filterwarnings("ignore:Implicit dimension")
@EVERY_COMPOSITE
@pytest.mark.parametrize("name", SPELLINGS)
def test_as_a_signal_the_taylor_rule(name: str, composite: str) -> None:
    model, x = inline(lambda m, x: SPELLINGS[name](m.a(x))), random(2, 6)
    got = account(model, x, composite=composite)
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)
    assert relative_error(got.relevance, x * grad) < 1e-12
    assert set(got.ledger.entries) == {"bias", "softmax"}


class Router(nn.Module):
    """softmax -> top-2 of 3 experts -> renormalised -> weighted sum, written three ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.gate = nn.Linear(6, 3)
        self.experts = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = torch.topk(F.softmax(self.gate(x), dim=-1), 2, dim=-1)
        weights = self.renormalised(weights)
        out = torch.zeros_like(x)
        if self.way == "dense":
            dense = torch.zeros(len(x), 3, dtype=x.dtype).scatter(1, chosen, weights)
            every = torch.stack([expert(x) for expert in self.experts], 1)
            out = torch.einsum("te,ted->td", dense, every)
        else:
            for e, expert in enumerate(self.experts):
                rows, place = torch.where(chosen == e)
                scaled = expert(x[rows]) * weights[rows, place, None]
                out.index_add_(0, rows, scaled.to(x.dtype))
        return self.head(out)

    def renormalised(self, weights: Tensor) -> Tensor:
        if self.way == "in place":
            weights /= weights.sum(dim=-1, keepdim=True)
            return weights
        return weights / weights.sum(dim=-1, keepdim=True)


@EVERY_COMPOSITE
@pytest.mark.parametrize("way", ["index_add", "in place", "dense"])
def test_a_router_is_constant(way: str, composite: str) -> None:
    if way == "dense" and composite == "attnlrp":
        return  # a matrix product of weights: AttnLRP's uniform rule, tested below
    model, x = draw(Router(way)).double(), random(5, 6)
    got = account(model, x, composite=composite)
    weights, chosen = torch.topk(F.softmax(model.gate(x), -1), 2)
    weights = weights / weights.sum(-1, keepdim=True)
    want = torch.zeros_like(x)
    for row in range(5):
        for w, e in zip(weights[row], chosen[row], strict=True):
            want[row] += x[row] * w * (model.head.weight[0] @ model.experts[e].weight)
    assert relative_error(got.relevance, want) < 1e-11
    assert set(got.ledger.entries) == {"bias"}


def test_a_dense_router_is_bilinear_under_attnlrp() -> None:
    ledger = account(draw(Router("dense")).double(), random(5, 6)).ledger
    assert set(ledger.entries) == {"bias", "softmax"}
