"""The epsilon rule against its definition, connection by connection."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lxt_like.errors import RuleError
from lxt_like.rules import Epsilon
from lxt_like.rules.maps import Convolution, Dense
from tests.oracles import linear as oracle
from tests.oracles.arrays import relative_error
from tests.support import TOLERANCE, Books, explained, random

DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
EPSILONS = pytest.mark.parametrize("eps", [0.0, 0.25])


def run(eps: float, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Any, ...]:
    books = Books()
    op = partial(F.linear, weight=weight, bias=bias)
    out = Epsilon(eps).linear(op, Dense(), x, weight, bias, books)
    R, (R_x,) = explained(out, x)
    return R, R_x, books.entries


@DTYPES
@EPSILONS
@pytest.mark.parametrize("biased", [True, False])
def test_linear(dtype: torch.dtype, eps: float, biased: bool) -> None:
    x = random(2, 3, 5, dtype=dtype).requires_grad_()
    W, b = random(4, 5, dtype=dtype), random(4, dtype=dtype) if biased else None
    R, R_x, entries = run(eps, x, W, b)
    want = oracle.linear(x, W, b, R, epsilon=eps)
    assert relative_error(R_x, want["x"]) < TOLERANCE[dtype]
    for cause in ("bias", "epsilon"):
        room = TOLERANCE[dtype] * abs(want[cause]).sum()
        assert entries.get(cause, 0.0) == pytest.approx(want[cause].sum(), abs=room + 1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_zero_and_tiny_outputs_are_finite(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).tiny
    x = torch.tensor([[0.0, 0.0], [tiny, -tiny]], dtype=dtype, requires_grad=True)
    _, R_x, entries = run(1e-6, x, torch.eye(2, dtype=dtype), None)
    assert R_x.isfinite().all()
    assert all(abs(v) < 1 for v in entries.values())


CONVOLUTIONS = [
    ("conv1d", (2, 4, 7), (6, 2, 3), {"stride": 2, "padding": 1, "groups": 2}),
    ("conv2d", (2, 3, 5, 4), (4, 3, 2, 2), {"padding": 1, "dilation": 2}),
    ("conv_transpose1d", (2, 4, 5), (4, 3, 3), {"stride": 2, "padding": 1}),
    ("conv_transpose2d", (1, 2, 3, 3), (2, 2, 2, 2), {"groups": 2}),
]


@EPSILONS
@pytest.mark.parametrize(("name", "x", "weight", "options"), CONVOLUTIONS)
def test_convolution(eps: float, name: str, x: Any, weight: Any, options: Any) -> None:
    function, x, W = getattr(F, name), random(*x).requires_grad_(), random(*weight)
    transposed = "transpose" in name
    b = random(W.shape[1] * options.get("groups", 1) if transposed else W.shape[0])
    books = Books()
    made = Convolution(W, **options, transposed=transposed)
    call = partial(function, weight=W, bias=b, **options)
    out = Epsilon(eps).linear(call, made, x, W, b, books)
    R, (R_x,) = explained(out, x)
    want = oracle.convolution(x, W, b, R, transposed=transposed, epsilon=eps, **options)
    assert relative_error(R_x, want["x"]) < 1e-12
    assert books.entries["bias"] == pytest.approx(want["bias"].sum(), rel=1e-11)
    assert books.entries.get("epsilon", 0.0) == pytest.approx(want["epsilon"].sum(), abs=1e-11)


@pytest.mark.parametrize("options", [{"scaled": True}, {"scaled": True, "clip": True}])
@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv_transpose2d"])
def test_a_sample_without_a_batch_is_a_batch_of_one(name: str, options: dict[str, bool]) -> None:
    function, size = getattr(F, name), int(name[-2])
    x, W = random(2, *[5] * size).requires_grad_(), random(2, 2, *[3] * size)
    found = []
    for batched in (False, True):
        given = x[None] if batched else x
        books, made = Books(), Convolution(W, transposed="transpose" in name, batched=batched)
        rule, call = Epsilon(0.5, **options), partial(function, weight=W)
        out = rule.linear(call, made, given, W, None, books)
        (g,) = torch.autograd.grad(out, x, torch.ones_like(out))
        found.append((g, books.entries["epsilon"]))
    assert relative_error(found[0][0], found[1][0]) < 1e-12
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-11)


def test_a_relu_may_overwrite_the_output() -> None:
    x, W = random(3, 4).requires_grad_(), random(5, 4)
    g = random(3, 5, seed=1)
    grads = []
    for relu in (F.relu, F.relu_):
        out = relu(Epsilon(0.1).linear(partial(F.linear, weight=W), Dense(), x, W))
        grads.append(torch.autograd.grad(out, x, g)[0])
    assert torch.equal(grads[0], grads[1])


def test_zero_epsilon_adds_no_node() -> None:
    x, W = random(3, 4).requires_grad_(), random(5, 4)
    out = Epsilon().linear(partial(F.linear, weight=W), Dense(), x, W)
    assert type(out.grad_fn) is type(F.linear(x, W).grad_fn)


@pytest.mark.parametrize("eps", [-1.0, float("inf"), float("nan"), "1e-6", None])
def test_bad_epsilon(eps: Any) -> None:
    with pytest.raises(RuleError, match="eps must be a finite number >= 0"):
        Epsilon(eps)
