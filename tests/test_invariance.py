"""What an explanation must not depend on: kernels, padding, batches, checkpoints, precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import lxt_like as lxt
from tests.models.tiny import FAMILIES, build, inputs, single
from tests.oracles.arrays import relative_error
from tests.restore.snapshot import differences, snapshot
from tests.support import COMPOSITES, closing_error, inline, per_score, random

TARGET = [1, 2]
EVERY = pytest.mark.parametrize("name", FAMILIES)
EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)
PADDED = [
    (name, side)
    for name in FAMILIES
    for side in ("right", "left")
    if side == "right" or FAMILIES[name].left_padding
]


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", [n for n in FAMILIES if len(FAMILIES[n].kernels) > 1])
def test_sdpa_equals_eager(name: str, composite: str) -> None:
    batch = inputs(name, padded="right")
    one, other = (
        lxt.attribute(build(name, attn=attn), batch, TARGET, composite, ledger=True)
        for attn in ("sdpa", "eager")
    )
    assert relative_error(one.relevance, other.relevance) < 1e-5
    for cause, amounts in one.ledger.entries.items():
        assert relative_error(amounts, other.ledger.entries[cause]) < 1e-5, cause


@EVERY_COMPOSITE
@pytest.mark.parametrize(("name", "side"), PADDED)
def test_padded_equals_alone(name: str, side: Any, composite: str) -> None:
    """Padding on either side, a batch or a single sample: the same relevance."""
    model, batch = build(name), inputs(name, padded=side)
    together = lxt.attribute(model, batch, TARGET, composite).relevance
    for row, target in enumerate(TARGET):
        alone = lxt.attribute(model, single(batch, row), target, composite).relevance
        real = batch["attention_mask"][row].bool()
        assert relative_error(together[row][real], alone[0]) < 1e-5
        assert not together[row][~real].any()


@EVERY_COMPOSITE
@pytest.mark.parametrize("reentrant", [False, True])
@EVERY
def test_checkpointed_equals_not(name: str, reentrant: bool, composite: str) -> None:
    model, batch = build(name), inputs(name, padded="right")
    plain = lxt.attribute(model, batch, TARGET, composite, ledger=True)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
    for key in vars(model.config):
        if "drop" in key and isinstance(getattr(model.config, key), float):
            setattr(model.config, key, 0.0)
    for module in model.modules():
        for key in ("dropout_prob", "attn_dropout"):
            if isinstance(getattr(module, key, None), float):
                setattr(module, key, 0.0)
    model.train()
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": reentrant})
    assert any(getattr(m, "gradient_checkpointing", False) for m in model.modules())
    before = snapshot(model)
    for ledger in (False, True):
        got = lxt.attribute(model, batch, TARGET, composite, ledger=ledger)
        assert relative_error(got.relevance, plain.relevance) < 1e-5
    assert per_score(got.ledger) < 1e-4
    for cause, amounts in plain.ledger.entries.items():
        assert relative_error(amounts, got.ledger.entries[cause]) < 1e-5, cause
    assert differences(before, model) == []


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_that_the_model_calls_itself(reentrant: bool, ledger: bool) -> None:
    """What is recomputed outside of any module meets the rules as well."""

    def block(m: nn.Module, x: Tensor) -> Tensor:
        return nn.functional.gelu(m.a(x)) * nn.functional.layer_norm(m.b(x), (6,))

    def checkpointed(m: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(block, m, x, use_reentrant=reentrant)

    x = random(2, 6)
    want = lxt.attribute(inline(block), x, 0, ledger=ledger)
    got = lxt.attribute(inline(checkpointed), x, 0, ledger=ledger)
    assert relative_error(got.relevance, want.relevance) < 1e-12
    if ledger:
        assert closing_error(got.ledger) < 1e-12


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_constant_that_one_checkpoint_makes_for_the_next(reentrant: bool, composite: str) -> None:
    """As T5's first block makes the position bias of all."""
    table = nn.Parameter(random(2, 6, seed=5))

    def block(m: nn.Module, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        if bias is None:
            bias = m.position(torch.arange(2))
        return (m.a(x) + bias).relu() * m.b(x).sigmoid(), bias

    def run(m: nn.Module, x: Tensor, **options: Any) -> Tensor:
        bias = None
        for _ in range(3):
            x, bias = checkpoint(block, m, x, bias, **options) if options else block(m, x, bias)
        return x

    def model(body: Any) -> Any:
        made = inline(body)
        made.position = nn.Embedding(2, 6, _weight=table).requires_grad_(False)
        return made

    x = random(2, 6)
    want = lxt.attribute(model(run), x, 0, composite, ledger=True)
    again = partial(run, use_reentrant=reentrant)
    got = lxt.attribute(model(again), x, 0, composite, ledger=True)
    assert relative_error(got.relevance, want.relevance) < 1e-12
    assert closing_error(got.ledger) < 1e-12
    assert "position" in want.ledger.entries
    assert got.ledger.entries.keys() == want.ledger.entries.keys()
    for cause, amounts in want.ledger.entries.items():
        assert relative_error(got.ledger.entries[cause], amounts) < 1e-9, cause


def test_execution_order_survives_recomputation() -> None:
    def block(m: nn.Module, x: Tensor) -> Tensor:
        return m.b(nn.functional.silu(m.a(x)))

    def twice(m: nn.Module, x: Tensor, **options: Any) -> Tensor:
        for _ in range(2):
            x = checkpoint(block, m, x, **options) if options else block(m, x)
        return x

    x = random(2, 6)
    for where in ("first", "last", range(1, 3)):
        at = lxt.Assign(lxt.rules.Epsilon(0.5), where=where)
        composite = lxt.composites.AttnLRP() + lxt.Composite([at])
        want = lxt.attribute(inline(twice), x, 0, composite)
        assert relative_error(want.relevance, lxt.attribute(inline(twice), x, 0).relevance) > 1e-3
        kept = inline(lambda m, x: twice(m, x, use_reentrant=False))
        got = lxt.attribute(kept, x, 0, composite)
        assert relative_error(got.relevance, want.relevance) < 1e-12
        with pytest.raises(lxt.errors.PatchError, match="use_reentrant=False"):
            lxt.attribute(inline(lambda m, x: twice(m, x, use_reentrant=True)), x, 0, composite)


@EVERY_COMPOSITE
@EVERY
def test_by_hand_equals_attribute(name: str, composite: str) -> None:
    model, batch = build(name), inputs(name)
    want = lxt.attribute(model, batch, TARGET, composite)
    x = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    with lxt.patch(model, composite):
        logits = model(inputs_embeds=x, attention_mask=batch["attention_mask"]).logits
        logits[[0, 1], TARGET].sum().backward()
    assert relative_error((x * x.grad).sum(-1), want.relevance) < 1e-5
    embeds = {"inputs_embeds": x.detach(), "attention_mask": batch["attention_mask"]}
    direct = lxt.attribute(model, embeds, TARGET, composite).relevance
    assert relative_error(direct.sum(-1), want.relevance) < 1e-5


def test_the_ledger_changes_no_number() -> None:
    for name in FAMILIES:
        model, batch = build(name), inputs(name, padded="right")
        lean = lxt.attribute(model, batch, TARGET)
        full = lxt.attribute(model, batch, TARGET, ledger=True)
        assert torch.equal(lean.output.logits, full.output.logits)
        assert relative_error(lean.relevance, full.relevance) < 1e-5


@contextmanager
def autocast(dtype: torch.dtype) -> Iterator[None]:
    with torch.autocast("cpu", dtype=dtype):
        yield


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("way", ["weights", "autocast"])
@EVERY
def test_low_precision(name: str, way: str, dtype: torch.dtype) -> None:
    """Near the float32 relevance, forward unchanged, closed to the precision at hand."""
    batch = inputs(name, padded="right")
    want = lxt.attribute(build(name), batch, TARGET, "cp_lrp").relevance
    model = build(name, dtype=dtype) if way == "weights" else build(name)
    with autocast(dtype) if way == "autocast" else torch.enable_grad():
        plain = model(**batch).logits
        got = lxt.attribute(model, batch, TARGET, "cp_lrp", ledger=True)
    assert torch.equal(got.output.logits, plain)
    assert got.relevance.isfinite().all()
    assert got.relevance.dtype == torch.float32
    room = 0.3 if dtype == torch.bfloat16 else 0.05
    if name != "qwen3_moe":  # a router may choose other experts
        assert relative_error(got.relevance, want) < room
    assert closing_error(got.ledger) < room
