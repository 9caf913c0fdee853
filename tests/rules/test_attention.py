"""Attention as a whole: scaled gradients around a fused kernel equal the rules spelled out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lxt_like.rules import UniformAttention, ValueOnly
from lxt_like.rules.attention import AttentionForm
from tests.oracles import attention as oracle
from tests.oracles.arrays import relative_error
from tests.support import TOLERANCE, Books, explained, random

INF = float("inf")
BIAS = torch.tensor([[0.0, -INF, 0.5, -1.0], [1.0, 0.0, -INF, 0.3], [-INF, 2.0, 0.1, 0.0]]).double()
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "scaled": {"scale": 0.3},
    "causal": {"is_causal": True},
    "grouped": {"enable_gqa": True},
    "biased": {"mask": BIAS},
    "boolean": {"mask": BIAS.isfinite()},
    "all at once": {"mask": BIAS, "scale": 2.0, "enable_gqa": True},
}


def run(rule: Any, dtype: torch.dtype, case: dict[str, Any], active_mask: bool = False) -> Any:
    """Relevances of q, k, v (and the mask), the oracle's, and the declared entries."""
    options = {k: v for k, v in case.items() if k != "mask"}
    groups = 2 if options.get("enable_gqa") else 4
    q = random(1, 4, 3, 5, dtype=dtype).requires_grad_()
    k = random(1, groups, 4, 5, seed=1, dtype=dtype).requires_grad_()
    v = random(1, groups, 4, 2, seed=2, dtype=dtype).requires_grad_()
    mask = case.get("mask")
    if mask is not None and mask.dtype != torch.bool:
        mask = mask.to(dtype).requires_grad_(active_mask)

    def kernel(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, **options)

    books = Books()
    out = rule.attention(kernel, q, k, v, mask, AttentionForm(**options), books)
    assert torch.equal(out, kernel(q, k, v, mask))
    tensors = [q, k, v, mask] if active_mask else [q, k, v]
    R, parts = explained(out, *tensors)
    bias = mask
    if mask is not None and mask.dtype == torch.bool:
        bias = torch.zeros(mask.shape).masked_fill(~mask, -INF)
    composite = "attnlrp" if isinstance(rule, UniformAttention) else "cp_lrp"
    want = oracle.attention(
        q[0],
        k[0],
        v[0],
        R[0],
        scale=options.get("scale"),
        bias=bias,
        causal=options.get("is_causal", False),
        composite=composite,
    )
    return R, [p[0] if p.dim() == 4 else p for p in parts], want, books.entries


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rule", [UniformAttention(), ValueOnly()], ids=repr)
def test_against_the_definition(rule: Any, case: str, dtype: torch.dtype) -> None:
    _, parts, want, entries = run(rule, dtype, CASES[case])
    for got, name in zip(parts, "qkv", strict=True):
        assert got.isfinite().all()
        assert relative_error(got, want[name]) < 4 * TOLERANCE[dtype], name
    scale = max(np.abs(want["v"]).sum(), np.abs(want["softmax"]).sum())
    for cause, name in (("softmax", "softmax"), ("constant", "bias")):
        error = abs(entries.get(cause, 0.0) - want[name].sum())
        assert error < 4 * TOLERANCE[dtype] * scale, cause


@pytest.mark.parametrize("case", ["biased", "all at once"])
def test_a_bias_that_depends_on_the_input_is_explained(case: str) -> None:
    R, (*_, R_mask), want, entries = run(UniformAttention(), torch.float64, CASES[case], True)
    finite = torch.where(BIAS.isfinite(), R_mask, 0.0)
    assert relative_error(finite, want["bias"].sum(0)) < 1e-12
    assert "constant" not in entries
    kept = sum(part.sum() for part in want.values())
    assert float(R.sum()) == pytest.approx(kept, rel=1e-11)


def test_constant_queries_leave_their_half_to_the_keys() -> None:
    q, k, v = random(1, 2, 3, 4), random(1, 2, 5, 4, seed=1), random(1, 2, 5, 4, seed=2)
    books = Books()
    k.requires_grad_(), v.requires_grad_()

    def kernel(*args: Any) -> Tensor:
        return F.scaled_dot_product_attention(*args)

    out = UniformAttention().attention(kernel, q, k, v, None, AttentionForm(), books)
    R, parts = explained(out, k, v)
    total = sum(float(p.sum()) for p in parts) + books.entries["softmax"]
    assert total == pytest.approx(float(R.sum()), rel=1e-11)


def test_the_key_keeps_its_share_where_it_is_the_value_too() -> None:
    q, kv = random(1, 1, 3, 4), random(1, 1, 5, 4, seed=1).requires_grad_()

    def kernel(*args: Any) -> Tensor:
        return F.scaled_dot_product_attention(*args)

    weights = torch.softmax(q @ kv.detach().mT / 2, -1)
    g = random(1, 1, 3, 4, seed=3)
    out = ValueOnly().attention(kernel, q, kv, kv, None, AttentionForm())
    (got,) = torch.autograd.grad(out, kv, g)
    assert relative_error(got, weights.mT @ g) < 1e-12


def test_wholly_masked_rows_are_no_nan() -> None:
    mask = torch.tensor([[0.0, 0.0], [-INF, -INF]])
    for fill in (-INF, torch.finfo(torch.float32).min):
        row = mask.masked_fill(mask == -INF, fill)
        q, k, v = (random(1, 1, 2, 4, seed=s).float().requires_grad_() for s in range(3))
        books = Books()

        def kernel(*args: Any) -> Tensor:
            return F.scaled_dot_product_attention(*args)

        out = UniformAttention().attention(kernel, q, k, v, row, AttentionForm(), books)
        g = random(1, 1, 2, 4, seed=5).float()
        g[..., 1, :] = 0  # nothing is asked of the masked row
        grads = torch.autograd.grad(out, (q, k, v), g)
        assert all(t.isfinite().all() for t in grads)
        assert all(abs(v) < 100 for v in books.entries.values())
