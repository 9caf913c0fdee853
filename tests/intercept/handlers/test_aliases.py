"""Ruled functions under other names: as when they are written with those that everybody knows."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lxt_like as lxt
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, inline, random

Two = Callable[[Tensor, Tensor], Tensor]
C = random(6, seed=5)


def normed(x: Tensor, moments: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    var, mean = moments(x)
    return (x - mean) / torch.sqrt(var + 1e-3)


# what it is called, and what it is; of two signals [2, 6]
FORMS: dict[str, tuple[Two, Two]] = {
    "softmin": (lambda x, y: F.softmin(x, 1) * y, lambda x, y: F.softmax(-x, 1) * y),
    "softmin without dim": (lambda x, y: F.softmin(x) * y, lambda x, y: F.softmax(-x, 1) * y),
    "Softmin": (lambda x, y: torch.nn.Softmin(-1)(x) * y, lambda x, y: (-x).softmax(-1) * y),
    "expit": (lambda x, y: torch.special.expit(x) * y, lambda x, y: x.sigmoid() * y),
    "ndtr": (
        lambda x, y: torch.special.ndtr(x) * y,
        lambda x, y: (1 + torch.erf(x * math.sqrt(0.5))) * 0.5 * y,
    ),
    "exp2": (lambda x, y: torch.exp2(x) * y, lambda x, y: torch.exp(x * math.log(2)) * y),
    "special.exp2": (lambda x, y: torch.special.exp2(x), lambda x, y: torch.exp(x * math.log(2))),
    "exp2_": (lambda x, y: (x * 1).exp2_() * y, lambda x, y: torch.exp(x * math.log(2)) * y),
    "logaddexp": (
        lambda x, y: torch.logaddexp(x, y),
        lambda x, y: torch.stack([x, y], -1).logsumexp(-1),
    ),
    "logaddexp with a constant": (
        lambda x, y: torch.logaddexp(x, C) + y,
        lambda x, y: torch.stack([x, C.expand_as(x)], -1).logsumexp(-1) + y,
    ),
    "vecdot": (
        lambda x, y: torch.linalg.vecdot(x, y)[:, None] + y,
        lambda x, y: (x * y).sum(1, True) + y,
    ),
    "vecdot by name": (
        lambda x, y: torch.linalg.vecdot(x.sigmoid(), y, dim=0) + y,
        lambda x, y: (x.sigmoid() * y).sum(0) + y,
    ),
    "linalg.matmul": (
        lambda x, y: torch.linalg.matmul(x[:, :, None], y[:, None]).sum(1),
        lambda x, y: torch.matmul(x[:, :, None], y[:, None]).sum(1),
    ),
    "pairwise_distance": (
        lambda x, y: F.pairwise_distance(x, y, keepdim=True) + y,
        lambda x, y: (x - y + 1e-6).norm(dim=-1, keepdim=True) + y,
    ),
    "pairwise_distance of prototypes": (
        lambda x, y: F.pairwise_distance(x, C, p=1, eps=1e-3)[:, None] + y,
        lambda x, y: (x - C + 1e-3).abs().sum(-1, keepdim=True) + y,
    ),
    "var_mean": (
        lambda x, y: normed(x, lambda x: torch.var_mean(x, 1, keepdim=True)) * y,
        lambda x, y: normed(x, lambda x: (x.var(1, keepdim=True), x.mean(1, keepdim=True))) * y,
    ),
    "var_mean, biased": (
        lambda x, y: normed(x, lambda x: torch.var_mean(x, -1, correction=0, keepdim=True)) + y,
        lambda x, y: (
            normed(x, lambda x: (x.var(-1, unbiased=False, keepdim=True), x.mean(-1, keepdim=True)))
            + y
        ),
    ),
    "var_mean by position": (
        lambda x, y: normed(x, lambda x: torch.var_mean(x, 1, False, True)) + y,
        lambda x, y: normed(x, lambda x: (x.var(1, False, True), x.mean(1, True))) + y,
    ),
    "std_mean of all": (
        lambda x, y: x / torch.std_mean(x)[0] + torch.std_mean(x, False)[1] * y,
        lambda x, y: x / x.std() + x.mean() * y,
    ),
}


@pytest.mark.parametrize("composite", [*COMPOSITES, "epsilon_plus"])
@pytest.mark.parametrize("name", FORMS)
def test_another_name_is_the_same(name: str, composite: str) -> None:
    called, written = (inline(lambda m, x, form=form: form(m.a(x), m.b(x))) for form in FORMS[name])
    x = random(2, 6)
    wanted = lxt.attribute(written, x, 0, composite, ledger=True)
    found = account(called, x, 0, composite)
    assert torch.equal(found.output, called(x))
    plain = lxt.attribute(called, x, 0, composite)
    assert torch.equal(plain.output, called(x))
    for got in (found, plain):
        assert relative_error(got.relevance, wanted.relevance) < 1e-11
    assert found.ledger is not None and wanted.ledger is not None
    for cause, amount in wanted.ledger.entries.items():
        torch.testing.assert_close(found.ledger.entries[cause], amount, rtol=1e-9, atol=1e-11)
