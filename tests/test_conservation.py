"""Whole models: every explanation adds up, and equals the definition."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

import lxt_like as lxt
from tests.models.tiny import FAMILIES, Padding, build, inputs, single, widen
from tests.oracles.arrays import relative_error
from tests.oracles.models import ORACLES
from tests.support import COMPOSITES, per_score

TARGET = [1, 2]
EVERY = pytest.mark.parametrize("name", FAMILIES)
EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)
KERNELS = [(name, attn) for name in FAMILIES for attn in FAMILIES[name].kernels]
PADDED = [
    (name, side)
    for name in FAMILIES
    for side in ("right", "left")
    if side == "right" or FAMILIES[name].left_padding
]
# in float64, what still computes in float32 once RMSNorms are widened: eager attention's softmax in
# these, and ModernBERT's rotary embedding, which only queries and keys meet
NARROWING = {("llama", "eager"), ("qwen3", "eager"), ("qwen3_moe", "eager"), ("gemma2", "eager")}
NARROWING |= {("modernbert", "sdpa"), ("modernbert", "eager")}


@EVERY_COMPOSITE
@pytest.mark.parametrize(("name", "attn"), KERNELS)
def test_conservation(name: str, attn: Any, composite: str) -> None:
    model = build(name, attn=attn)
    batches: list[Padding] = ["right", "left"] if FAMILIES[name].left_padding else ["right"]
    for padded in batches:
        batch = inputs(name, padded=padded)
        got = lxt.attribute(model, batch, TARGET, composite, ledger=True)
        assert per_score(got.ledger) < 1e-4
        assert got.ledger.closed
        assert ("softmax" in got.ledger.entries) == (composite == "attnlrp")
        assert torch.equal(got.output.logits, model(**batch).logits)
        assert not got.relevance[batch["attention_mask"] == 0].any()


@EVERY_COMPOSITE
@pytest.mark.parametrize(("name", "attn"), KERNELS)
def test_conservation_in_float64(name: str, attn: Any, composite: str) -> None:
    model = widen(build(name, attn=attn, dtype=torch.float64))
    got = lxt.attribute(model, inputs(name, padded="right"), TARGET, composite, ledger=True)
    narrowed = composite == "attnlrp" and (name, attn) in NARROWING
    assert ("rounding" in got.ledger.entries) == narrowed
    assert per_score(got.ledger) < (1e-6 if narrowed else 1e-9)


def test_float32_norms_lose_rounding_only() -> None:
    model = build("llama", dtype=torch.float64)
    ledger = lxt.attribute(model, inputs("llama"), TARGET, "cp_lrp", ledger=True).ledger
    assert 0 < float(ledger.entries["rounding"].abs().max()) < 1e-5
    assert float(ledger.gap.abs().max()) < 1e-6


@EVERY
def test_biases_are_what_their_gradients_say(name: str) -> None:
    """The bias entry is the sum of b * b.grad over all biases, the norms' shifts included."""
    model = widen(build(name, dtype=torch.float64))
    batch = inputs(name)
    for composite in COMPOSITES:
        ledger = lxt.attribute(model, batch, TARGET, composite, ledger=True).ledger
        biases = [p for n, p in model.named_parameters() if n.endswith("bias")]
        for row, target in enumerate(TARGET):
            with lxt.patch(model, composite):
                for b in biases:
                    b.requires_grad_(True)
                score = model(**single(batch, row)).logits[0, target]
                grads = torch.autograd.grad(score, biases, allow_unused=True)
            pairs = zip(biases, grads, strict=True)
            want = sum(float((b.detach() * g).sum()) for b, g in pairs if g is not None)
            assert float(ledger.entries["bias"][row]) == pytest.approx(want, rel=1e-6)


@EVERY
def test_the_plain_gradient_does_not_close(name: str) -> None:
    got = lxt.attribute(build(name), inputs(name), TARGET, "gradient", ledger=True)
    assert not got.ledger.closed
    assert bool((got.ledger.unruled > 0.1 * got.ledger.score.abs()).all())
    assert bool((got.ledger.gap.abs() > 1e-2 * got.ledger.score.abs()).all())


@EVERY_COMPOSITE
@pytest.mark.parametrize(
    ("name", "head"),
    [(name, "classification") for name in ORACLES] + [("gpt2", "lm"), ("llama", "lm")],
)
def test_equals_the_definition(name: str, head: Any, composite: Any) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        model = build(name, head=head, dtype=dtype)
        model = widen(model) if dtype == torch.float64 else model
        batch = inputs(name, padded="right")
        want = ORACLES[name](model, batch, TARGET, composite)
        got = lxt.attribute(
            model, batch, TARGET, composite, ledger=True, layers=list(want["layers"])
        )
        assert relative_error(got.score, want["score"]) < tolerance
        assert relative_error(got.relevance, want["embeddings"].sum(-1)) < tolerance
        for cause, amounts in want["entries"].items():
            entry = got.ledger.entries.get(cause, torch.zeros(2))
            assert relative_error(entry, amounts) < tolerance, cause
        # the oracle's layers are at their inputs: the output of one is the input of the next
        for layer, following in pairwise(sorted(want["layers"])):
            assert relative_error(got.layers[layer], want["layers"][following]) < tolerance, layer
