"""Norms with a constant scale, against their connections; weight gradients stay the plain ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lxt_like.rules import ConstantScale
from tests.oracles import norms as oracle
from tests.oracles.arrays import relative_error
from tests.support import TOLERANCE, Books, explained, random

DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
RULE = ConstantScale()


def check(out: Tensor, x: Tensor, want: Any, plain: Tensor, books: Books) -> None:
    R_x = explained(out, x)[1][0]
    room = 3 * TOLERANCE[x.dtype]
    assert torch.equal(out, plain)
    assert relative_error(R_x, want["x"]) < room
    bias = want.get("bias", x.new_zeros(1))
    error = abs(books.entries.get("bias", 0.0) - float(bias.sum()))
    assert error <= room * max(float(abs(bias).sum()), 1e-12)


def relevance(out: Tensor) -> Tensor:
    return out.detach().double() * random(*out.shape, seed=7, dtype=out.dtype).double()


@DTYPES
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(dtype: torch.dtype, affine: bool) -> None:
    x = random(2, 3, 5, dtype=dtype).requires_grad_()
    w, b = (random(5, seed=s, dtype=dtype) if affine else None for s in (1, 2))
    books = Books()
    out = RULE.layer_norm(x, (5,), w, b, 1e-5, books)
    ones = torch.ones(5)
    # in low precision the output of the definition is not the rounded one: hand it its own
    want = oracle.layer_norm(x, ones if w is None else w, b, exact(out, x, w, b))
    check(out, x, want, F.layer_norm(x, (5,), w, b, 1e-5), books)


def exact(out: Tensor, x: Tensor, w: Tensor | None, b: Tensor | None) -> Tensor:
    wide = [None if t is None else t.detach().double() for t in (x, w, b)]
    g = random(*out.shape, seed=7, dtype=out.dtype).double()
    return F.layer_norm(wide[0], (x.shape[-1],), wide[1], wide[2], 1e-5) * g


@DTYPES
@pytest.mark.parametrize("eps", [1e-6, None])
def test_rms_norm(dtype: torch.dtype, eps: float | None) -> None:
    x = random(2, 3, 5, dtype=dtype).requires_grad_()
    w = random(5, seed=1, dtype=dtype)
    out = RULE.rms_norm(x, (5,), w, eps)
    known = torch.finfo(dtype).eps if eps is None else eps
    wide = F.rms_norm(x.detach().double(), (5,), w.double(), known)
    g = random(*out.shape, seed=7, dtype=dtype).double()
    check(out, x, oracle.rms_norm(x, w, wide * g, eps=known), F.rms_norm(x, (5,), w, eps), Books())


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 3), (2, 4, 3, 2)])
def test_group_norm(groups: int, shape: tuple[int, ...]) -> None:
    if shape == (2, 4) and groups == 4:
        shape = (2, 8)  # a group of one value is all mean
    x, w, b = random(*shape).requires_grad_(), random(shape[1], seed=1), random(shape[1], seed=2)
    books = Books()
    out = RULE.group_norm(x, groups, w, b, 1e-5, books)
    want = oracle.group_norm(x, groups, w, b, relevance(out))
    check(out, x, want, F.group_norm(x, groups, w, b, 1e-5), books)


@pytest.mark.parametrize("layout", [torch.channels_last, "permuted"])
def test_group_norm_of_other_layouts_runs_the_same_kernel(layout: Any) -> None:
    x = random(2, 4, 5, 3, dtype=torch.float32)
    x = x.permute(0, 1, 3, 2) if layout == "permuted" else x.to(memory_format=layout)
    w, b = random(4, seed=1).float(), random(4, seed=2).float()
    assert torch.equal(RULE.group_norm(x, 2, w, b), F.group_norm(x, 2, w, b))


def test_instance_norm_is_group_norm_of_single_channels() -> None:
    x, w, b = random(2, 4, 3, 2).requires_grad_(), random(4, seed=1), random(4, seed=2)
    books = Books()
    out = RULE.instance_norm(x, w, b, 1e-5, books)
    want = oracle.group_norm(x, 4, w, b, relevance(out))
    check(out, x, want, F.instance_norm(x, weight=w, bias=b), books)


def test_instance_norms_parameter_gradients_are_the_plain_ones() -> None:
    x = random(3, 4, 6).requires_grad_()
    leaves = random(4, seed=1).requires_grad_(), random(4, seed=2).requires_grad_()
    g = random(3, 4, 6, seed=3)
    got = torch.autograd.grad(RULE.instance_norm(x, *leaves), leaves, g)
    plain = F.instance_norm(x, weight=leaves[0], bias=leaves[1])
    for mine, theirs in zip(got, torch.autograd.grad(plain, leaves, g), strict=True):
        assert relative_error(mine, theirs) < 1e-12


@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm", "group_norm"])
def test_parameter_gradients_are_the_plain_ones(norm: str) -> None:
    x = random(3, 4, 6, dtype=torch.float64).requires_grad_()
    width = 4 if norm == "group_norm" else 6
    w, b = random(width, seed=1).requires_grad_(), random(width, seed=2).requires_grad_()
    shape: Any = 2 if norm == "group_norm" else (6,)
    rest, leaves = ((w,), (w,)) if norm == "rms_norm" else ((w, b), (w, b))
    g = random(3, 4, 6, seed=3)
    got = torch.autograd.grad(getattr(RULE, norm)(x, shape, *rest), leaves, g)
    want = torch.autograd.grad(getattr(F, norm)(x, shape, *rest), leaves, g)
    for mine, theirs in zip(got, want, strict=True):
        assert relative_error(mine, theirs) < 1e-12


@DTYPES
def test_constant_and_zero_rows_are_finite(dtype: torch.dtype) -> None:
    x = torch.tensor([[0.0] * 4, [3.0] * 4], dtype=dtype, requires_grad=True)
    for out in (RULE.layer_norm(x, (4,)), RULE.rms_norm(x, (4,))):
        assert torch.autograd.grad(out.sum(), x)[0].isfinite().all()
