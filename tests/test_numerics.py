"""Stabilizers with a sign, ratios with a limit, sums that a mask cannot poison."""

from __future__ import annotations

import pytest
import torch

from lxt_like.numerics import inner, ratio, sum_to, upcast

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ratio(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, -0.0, 2.0, -4.0], dtype=dtype)
    out = ratio(x * 3, x, 7.0)
    assert out.tolist() == [7.0, 7.0, 3.0, 3.0]
    assert out.dtype == upcast(x).dtype
    assert torch.equal(ratio(x, x, 1.0), torch.ones(4))  # its own numerator is left alone
    assert x.tolist() == [0.0, 0.0, 2.0, -4.0]


def test_upcast() -> None:
    assert [upcast(torch.zeros(1, dtype=d)).dtype for d in DTYPES] == [
        torch.float64,
        torch.float32,
        torch.float32,
        torch.float32,
    ]


def test_inner() -> None:
    inf = float("inf")
    assert float(inner(torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0]))) == 1.0
    assert float(inner(torch.tensor([-inf, 2.0]), torch.tensor([0.0, 2.0]))) == 4.0
    assert float(inner(torch.tensor([-inf]), torch.tensor([1.0]))) == -inf
    assert float(inner(torch.tensor([float("nan"), 1.0]), torch.tensor([0.0, 1.0]))) == 1.0
    z, g = torch.tensor([1 + 2j]), torch.tensor([3 - 1j])
    assert float(inner(z, g)) == (z.conj() * g).real.item() == 1.0
    # float64 throughout: 65504 squared is no float16
    big = torch.full((2,), 65504.0, dtype=torch.float16)
    assert float(inner(big, big)) == pytest.approx(2 * 65504.0**2)


def test_sum_to() -> None:
    x = torch.ones(2, 3, 4)
    assert sum_to(x, torch.Size([3, 1])).tolist() == [[8.0]] * 3
    assert sum_to(x, x.shape) is x
