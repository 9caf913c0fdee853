"""The fused kernel and its parts written out are one attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import UnruledError
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, inline, random

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
LENGTH = 4
CAUSAL = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
ALIBI = -0.3 * torch.arange(LENGTH).sub(torch.arange(LENGTH)[:, None]).abs().double()


def fused(**options: Any) -> Attention:
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options)


def by_matmul(bias: Tensor | None = None, scale: float = 1 / math.sqrt(3)) -> Attention:
    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = torch.matmul(q, k.transpose(-2, -1)) * scale
        return F.softmax(scores if bias is None else scores + bias, dim=-1) @ v

    return run


def by_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(3)
    return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v)


def filled(value: float) -> Attention:
    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = (q @ k.mT / math.sqrt(3)).masked_fill(~CAUSAL, value)
        return scores.softmax(-1) @ v

    return run


def in_place(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.mT
    scores /= math.sqrt(3)
    scores += ALIBI
    return torch.softmax(scores, -1) @ v


LOWEST = torch.finfo(torch.float64).min
FORBID = torch.zeros(LENGTH, LENGTH).double()
PAIRS: dict[str, tuple[Attention, Attention]] = {
    "plain": (fused(), by_matmul()),
    "einsum": (fused(), by_einsum),
    "scale": (fused(scale=0.7), by_matmul(scale=0.7)),
    "causal": (fused(is_causal=True), by_matmul(FORBID.masked_fill(~CAUSAL, -math.inf))),
    "boolean mask": (fused(attn_mask=CAUSAL), filled(-math.inf)),
    "lowest number": (fused(attn_mask=CAUSAL), filled(LOWEST)),
    "additive bias": (fused(attn_mask=ALIBI), by_matmul(ALIBI)),
    "bias in place": (fused(attn_mask=ALIBI), in_place),
    "by name": (
        lambda q, k, v: F.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=ALIBI),
        by_matmul(ALIBI),
    ),
}


def model_of(attend: Attention) -> Any:
    def body(m: nn.Module, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (2, 3)).transpose(1, 2) for t in (m.a(x), m.b(x), x))
        return attend(q, k, v).transpose(1, 2).flatten(2)

    return inline(body)


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", PAIRS)
def test_fused_equals_written_out(name: str, composite: str) -> None:
    x = random(2, LENGTH, 6)
    accounts = []
    for attend in PAIRS[name]:
        accounts.append(account(model_of(attend), x, composite=composite))
    one, other = accounts
    assert relative_error(one.relevance, other.relevance) < 1e-10
    assert one.ledger.entries.keys() == other.ledger.entries.keys()
    for cause, amounts in one.ledger.entries.items():
        assert relative_error(amounts, other.ledger.entries[cause]) < 1e-9, cause
    assert ("softmax" in one.ledger.entries) == (composite == "attnlrp")


LIVE = ["", "q", "k", "v", "qk", "qv", "kv", "qkv"]
BIASES: dict[str, Callable[[Any, Tensor], Tensor | None]] = {
    "no bias": lambda m, x: None,
    "constant bias": lambda m, x: ALIBI,
    "live bias": lambda m, x: m.c(x).mean(-1)[:, None, None] + ALIBI,
    "live bias over forbidden pairs": lambda m, x: (
        m.c(x).mean(-1)[:, None, None].masked_fill(~CAUSAL, -math.inf)
    ),
}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("live", LIVE)
def test_fused_equals_written_out_where_operands_are_constant(
    live: str, bias: str, composite: str
) -> None:
    """A constant operand leaves its share to the others; a constant score keeps its own."""

    def body(attend: Callable[..., Tensor], m: Any, x: Tensor) -> Tensor:
        parts = {"q": m.a(x), "k": m.b(x), "v": x}
        parts = {n: t if n in live else random(2, LENGTH, 6, seed=ord(n)) for n, t in parts.items()}
        q, k, v = (t.unflatten(-1, (2, 3)).transpose(1, 2) for t in parts.values())
        return attend(q, k, v, BIASES[bias](m, x)).transpose(1, 2).flatten(2) + x

    def kernel(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def by_parts(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return by_matmul(mask)(q, k, v)

    x = random(2, LENGTH, 6)
    one = account(inline(partial(body, kernel)), x, composite=composite)
    if composite == "cp_lrp" and "v" not in live:  # nothing flows through constant weights
        beside = account(inline(lambda m, x: x), x, composite=composite)
        assert relative_error(one.relevance, beside.relevance) < 1e-12
        rest = one.score - beside.score
        assert relative_error(one.ledger.entries["constant"], rest) < 1e-11
        return
    other = account(inline(partial(body, by_parts)), x, composite=composite)
    assert relative_error(one.relevance, other.relevance) < 1e-10
    assert one.ledger.entries.keys() == other.ledger.entries.keys()
    for cause, amounts in one.ledger.entries.items():
        assert relative_error(amounts, other.ledger.entries[cause]) < 1e-9, cause


@pytest.mark.parametrize("live_bias", [False, True])
def test_constant_scores_are_booked_under_what_they_stand_for(live_bias: bool) -> None:
    """T5's position bias, or queries and keys of positions alone."""

    def body(attend: Callable[..., Tensor], m: Any, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (2, 3)).transpose(1, 2) for t in (m.a(x), m.b(x), x))
        bias = m.position_bias * 1.0
        if live_bias:
            q = k = m.position_embedding.expand(2, -1, -1, -1) * 2.0
            bias = m.c(x).mean(-1)[:, None, None]
        return attend(bias)(q, k, v).transpose(1, 2).flatten(2)

    found = []
    for attend in (lambda bias: fused(attn_mask=bias), by_matmul):
        model = inline(partial(body, attend))
        model.position_bias = torch.nn.Parameter(ALIBI, requires_grad=False)
        model.position_embedding = torch.nn.Parameter(random(1, 2, LENGTH, 3), requires_grad=False)
        found.append(account(model, random(2, LENGTH, 6)).ledger.entries)
    assert found[0].keys() == found[1].keys() == {"bias", "softmax", "position"}
    assert relative_error(found[0]["position"], found[1]["position"]) < 1e-9


def test_dropout_of_the_weights_is_refused() -> None:
    model = model_of(fused(dropout_p=0.1))
    with pytest.raises(UnruledError, match=r"attention dropout is active.*eval\(\).*in the model"):
        lxt.attribute(model, random(2, LENGTH, 6), 0)
    with pytest.warns(lxt.errors.UnruledWarning, match="attention dropout"):
        lxt.attribute(model, random(2, LENGTH, 6), 0, strict=False)
