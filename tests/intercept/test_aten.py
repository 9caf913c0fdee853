"""Operations by aten's own names, and functions whose torch form orders its arguments otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lxt_like as lxt
from lxt_like.errors import UnruledError
from tests.oracles.arrays import relative_error
from tests.support import account, inline, random

aten = torch.ops.aten
X = random(2, 6)
MEAN, VAR, GAMMA, BETA = (random(6, seed=s) for s in range(4))
VAR = VAR.abs() + 0.5
Body = Callable[[Any, Tensor], Tensor]

PAIRS: dict[str, tuple[Body, Body]] = {
    "linear": (
        lambda m, x: aten.linear(x, m.a.weight, m.a.bias),
        lambda m, x: m.a(x),
    ),
    "linear, an overload": (
        lambda m, x: aten.linear.default(x, m.a.weight, m.a.bias),
        lambda m, x: m.a(x),
    ),
    "convolution": (
        lambda m, x: aten.convolution(
            x[:, None], m.a.weight[:, None, :3], m.a.bias, [1], [1], [1], False, [0], 1
        ).flatten(1)[:, :6],
        lambda m, x: F.conv1d(x[:, None], m.a.weight[:, None, :3], m.a.bias, padding=1).flatten(1)[
            :, :6
        ],
    ),
    "mm": (lambda m, x: aten.mm.default(x, m.a.weight), lambda m, x: x @ m.a.weight),
    "a product": (lambda m, x: aten.mul.Tensor(m.a(x), m.b(x)), lambda m, x: m.a(x) * m.b(x)),
    "softmax": (
        lambda m, x: aten.softmax.int(m.a(x), -1) * x,
        lambda m, x: m.a(x).softmax(-1) * x,
    ),
    "gelu": (
        lambda m, x: aten.gelu(m.a(x), approximate="tanh"),
        lambda m, x: F.gelu(m.a(x), approximate="tanh"),
    ),
    "layer_norm": (
        lambda m, x: aten.layer_norm(m.a(x), [6], GAMMA, BETA, 1e-5),
        lambda m, x: F.layer_norm(m.a(x), [6], GAMMA, BETA, 1e-5),
    ),
    "a constant added": (lambda m, x: aten.add.Tensor(m.a(x), BETA), lambda m, x: m.a(x) + BETA),
    "a number added": (lambda m, x: aten.add.Scalar(m.a(x), 2.0), lambda m, x: m.a(x) + 2.0),
    "written into a view": (
        lambda m, x: (lambda h: (aten.tanh_.default(h[:, :3]), h)[1])(m.a(x) * 1.0),
        lambda m, x: torch.cat([m.a(x)[:, :3].tanh(), m.a(x)[:, 3:]], 1),
    ),
    "torch.batch_norm": (
        lambda m, x: torch.batch_norm(m.a(x), GAMMA, BETA, MEAN, VAR, False, 0.1, 1e-5, False),
        lambda m, x: F.batch_norm(m.a(x), MEAN, VAR, GAMMA, BETA),
    ),
    "torch.instance_norm": (
        lambda m, x: torch.instance_norm(
            m.a(x)[:, :, None], GAMMA, BETA, MEAN, VAR, False, 0.1, 1e-5, False
        )[..., 0],
        lambda m, x: F.instance_norm(
            m.a(x)[:, :, None], MEAN, VAR, GAMMA, BETA, use_input_stats=False
        )[..., 0],
    ),
    "torch.softmax to a type": (
        lambda m, x: torch.softmax(m.a(x), -1, torch.float64) * x,
        lambda m, x: F.softmax(m.a(x), -1, dtype=torch.float64) * x,
    ),
}


@pytest.mark.parametrize("composite", ["attnlrp", "epsilon", "epsilon_plus"])
@pytest.mark.parametrize("name", PAIRS)
def test_equals_the_function_that_torch_calls_so(name: str, composite: str) -> None:
    one, two = (inline(f) for f in PAIRS[name])
    found, wanted = (account(m, X, 0, composite) for m in (one, two))
    assert relative_error(found.relevance, wanted.relevance) < 1e-12
    for cause, amount in wanted.ledger.entries.items():
        torch.testing.assert_close(found.ledger.entries[cause], amount, rtol=1e-10, atol=1e-12)


def test_what_torch_has_no_function_for_is_seen_by_the_walk() -> None:
    with pytest.raises(UnruledError, match="Softmax"):
        lxt.attribute(inline(lambda m, x: aten._softmax(m.a(x), -1, False)), X, 0)
    with pytest.raises(UnruledError, match="Sinh"):
        lxt.attribute(
            inline(lambda m, x: (lambda h: (aten.sinh_.default(h[:, :3]), h)[1])(m.a(x) * 1.0)),
            X,
            0,
        )


def test_what_makes_constants_is_left_alone() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        ones = aten.ones.default([2, 6], dtype=torch.float64, pin_memory=False)
        steps = aten.arange.start_step(0, 6, 1, dtype=torch.float64, layout=None)
        return m.a(x) * ones * (1.0 + steps)

    found = account(inline(forward), X, 0).relevance
    steps = 1.0 + torch.arange(6.0).double()
    wanted = lxt.attribute(inline(lambda m, x: m.a(x) * steps), X, 0).relevance
    assert relative_error(found, wanted) < 1e-12
