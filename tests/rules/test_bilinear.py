"""Half to each factor, by the paper's definition; a gate's recipe changes no number."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lxt_like.rules import Uniform
from lxt_like.rules.activation import Activation
from tests.oracles import attention as oracle
from tests.oracles.arrays import relative_error
from tests.support import TOLERANCE, explained, random

DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@DTYPES
def test_matmul(dtype: torch.dtype) -> None:
    a = random(3, 4, dtype=dtype).requires_grad_()
    b = random(4, 5, dtype=dtype).requires_grad_()
    out = Uniform().bilinear(torch.matmul, a, b)
    R, (R_a, R_b) = explained(out, a, b)
    # the definition divides by the outputs, which low precision rounds: seed with its own R
    want = oracle.matmul(a, b, R * (a.double() @ b.double() / out.double()).detach())
    assert relative_error(R_a, want["a"]) < TOLERANCE[dtype]
    assert relative_error(R_b, want["b"]) < TOLERANCE[dtype]


@DTYPES
@pytest.mark.parametrize("recipe", [None, 0, 1])
def test_product(dtype: torch.dtype, recipe: int | None) -> None:
    x = random(3, 4, dtype=dtype).requires_grad_()
    other = random(3, 4, seed=1, dtype=dtype).requires_grad_()
    gate = F.silu(x)
    gate.retain_grad()
    source = Activation(x, F.silu)
    factors, sources = [gate, other], [None if recipe is None else source, None]
    if recipe == 1:
        factors.reverse(), sources.reverse()
    out = Uniform().product(*factors, tuple(sources))
    R, (R_gate, R_other) = explained(out, gate, other)
    want = oracle.product(gate, other, R)
    assert torch.equal(out, gate * other)
    for got, part in ((R_gate, want["a"]), (R_other, want["b"])):
        assert relative_error(got, part) < TOLERANCE[dtype]


@pytest.mark.parametrize("shapes", [((3, 4), (4,)), ((3, 1), (3, 4)), ((2, 3, 1), (1, 3, 4))])
def test_product_that_broadcasts(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = (random(*shape).requires_grad_() for shape in shapes)
    out = Uniform().product(a, b, (None, None))
    R, (R_a, R_b) = explained(out, a, b)
    assert R_a.sum().item() == pytest.approx(R.sum().item() / 2, rel=1e-12)
    assert R_b.sum().item() == pytest.approx(R.sum().item() / 2, rel=1e-12)
    assert torch.equal(out, a * b)


def test_a_product_of_zeros_is_finite() -> None:
    a, b = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    _, parts = explained(Uniform().product(a, b, (None, None)), a, b)
    assert all(torch.equal(p, torch.zeros(3).double()) for p in parts)


def test_a_complex_product_gives_half_the_plain_gradient() -> None:
    a, b = (torch.randn(3, dtype=torch.complex128, requires_grad=True) for _ in range(2))
    ruled = torch.autograd.grad(Uniform().product(a, b, (None, None)).real.sum(), (a, b))
    plain = torch.autograd.grad((a * b).real.sum(), (a, b))
    for one, other in zip(ruled, plain, strict=True):
        torch.testing.assert_close(one, other / 2)
