"""The Taylor rule against Proposition 3.1, masked scores included."""

from __future__ import annotations

import pytest
import torch

from lxt_like.rules import Constant, Taylor
from tests.oracles import attention as oracle
from tests.oracles.arrays import relative_error
from tests.support import TOLERANCE, Books, explained, random


@pytest.mark.parametrize("rule", [Taylor(), Constant()], ids=repr)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("fill", [0.0, -float("inf"), "lowest"])
def test_softmax(rule: Taylor | Constant, dtype: torch.dtype, fill: float | str) -> None:
    x = random(3, 5, dtype=dtype)
    masked = torch.zeros(3, 5, dtype=torch.bool)
    if fill:
        masked[0, 1] = masked[2, 3] = True
        x[masked] = torch.finfo(dtype).min if fill == "lowest" else fill
    x.requires_grad_()
    books = Books()
    out = rule.softmax(lambda t: torch.softmax(t, -1), x, -1, books)
    R, (R_x,) = explained(out, x)
    R_x = torch.where(masked, 0.0, R_x)  # -inf * 0
    want = oracle.softmax(x.detach().masked_fill(masked, -float("inf")), R)
    assert relative_error(R_x, want["x"]) < 2 * TOLERANCE[dtype]
    room = 2 * TOLERANCE[dtype] * abs(want["softmax"]).sum()
    assert books.entries["softmax"] == pytest.approx(want["softmax"].sum(), abs=room)


def test_another_dimension() -> None:
    x = random(3, 5).requires_grad_()
    books = Books()
    out = Taylor().softmax(lambda t: torch.softmax(t, 0), x, 0, books)
    R, (R_x,) = explained(out, x)
    assert books.entries["softmax"] == pytest.approx(float(R.sum() - R_x.sum()), rel=1e-11)
