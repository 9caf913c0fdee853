"""Whole models: every explanation adds up, equals the definition, and depends on nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import lxt_like as lxt
from lxt_like.errors import InputError, LxtError, ModelError, NumericalError
from lxt_like.ledger import Ledger
from tests.models.tiny import FAMILIES, Padding, build, inputs, single, widen
from tests.oracles.arrays import relative_error
from tests.oracles.models import ORACLES
from tests.restore.snapshot import differences, snapshot
from tests.support import COMPOSITES, Inline, closing_error, draw, inline, random

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


def per_score(ledger: Ledger) -> float:
    """gap and unruled relative to the score, or to the inputs where the score nearly cancels."""
    scale = torch.maximum(ledger.score.abs(), ledger.inputs.abs())
    return float((torch.maximum(ledger.gap.abs(), ledger.unruled) / scale).max())


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


# -- what an explanation must not depend on -----------------------------------------------------


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
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
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


# -- inputs, targets, modes -----------------------------------------------------------------------


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_callers_modes_do_not_matter(context: Any) -> None:
    model, batch = build("bert"), inputs("bert", padded="right")
    want = lxt.attribute(model, batch, 1).relevance
    net, x = inline(lambda m, x: m.a(x) * m.b(x)), random(2, 6)
    product = lxt.attribute(net, x, 0).relevance
    with context():
        # tensors made under inference mode are not autograd's
        copied = {key: value.clone() for key, value in batch.items()}
        assert torch.equal(lxt.attribute(model, copied, 1).relevance, want)
        assert torch.equal(lxt.attribute(net, x.clone(), 0).relevance, product)


def test_a_model_may_write_into_its_input_and_its_embedding() -> None:
    def body(m: nn.Module, x: Tensor) -> Tensor:
        x += 1.0
        return m.a(x)

    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.pos = nn.Embedding(9, 6), nn.Parameter(torch.zeros(4, 6))
            self.head = nn.Linear(6, 2)

        def forward(self, input_ids: Tensor) -> Tensor:
            x = self.words(input_ids)
            x += self.pos
            return self.head(x.mean(1))

    x = random(2, 6)
    before = x.clone()
    got = lxt.attribute(inline(body), x, 0, ledger=True)
    assert torch.equal(x, before)
    assert closing_error(got.ledger) < 1e-12
    model = draw(Embedded()).double()
    ids = torch.tensor([[1, 2, 3, 4]])
    got = lxt.attribute(model, {"input_ids": ids}, 0, ledger=True)
    want = (model.words.weight[ids] @ model.head.weight[0]) / 4
    assert relative_error(got.relevance, want) < 1e-12
    assert set(got.ledger.entries) == {"position", "bias"}


def test_several_inputs_give_a_dict() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(5, 3)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.a(left) + self.b(right)

    model = draw(Two()).double()
    given = {"left": random(2, 4), "right": random(2, 5)}
    got = lxt.attribute(model, given, 0, ledger=True)
    assert relative_error(got.relevance["left"], given["left"] * model.a.weight[0]) < 1e-12
    assert relative_error(got.relevance["right"], given["right"] * model.b.weight[0]) < 1e-12
    assert closing_error(got.ledger) < 1e-12


def test_encoder_decoder() -> None:
    import transformers

    config = transformers.T5Config(
        vocab_size=40, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4, dropout_rate=0.0,
        decoder_start_token_id=0,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config).eval()
    ids = torch.arange(2, 8)[None]
    given = {"input_ids": ids, "decoder_input_ids": ids[:, :3]}
    for composite in COMPOSITES:
        got = lxt.attribute(model, given, composite=composite, ledger=True)
        assert got.relevance["input_ids"].shape == (1, 6)
        assert got.relevance["decoder_input_ids"].shape == (1, 3)
        assert per_score(got.ledger) < 1e-4


# -- mistakes: one clear error, the model left as it was ------------------------------------------


class NoEmbedding(nn.Module):
    def forward(self, input_ids: Tensor) -> Tensor:
        return input_ids.float()


def poisoned() -> Any:
    model = build("bert")
    with torch.no_grad():
        model.classifier.weight[0, 0] = float("nan")
    return model


def overflowing() -> Any:
    model = build("bert", dtype=torch.float16)
    with torch.no_grad():
        model.bert.pooler.dense.bias.fill_(20.0)
        model.classifier.weight.fill_(60000.0)
    return model


def bert_inputs(**changes: Any) -> dict[str, Any]:
    return {**inputs("bert"), **changes}


PICTURE = torch.zeros(1, 6)
MISTAKES: dict[str, tuple[Any, Any, dict[str, Any], type[LxtError], str]] = {
    "NaN weights": (poisoned, inputs("bert"), {}, NumericalError, "classifier.weight holds NaN"),
    "fp16 overflow": (overflowing, inputs("bert"), {}, NumericalError, "overflow in float16"),
    "empty batch": (
        lambda: build("bert"),
        {"input_ids": torch.zeros(0, 5, dtype=torch.long)},
        {},
        InputError,
        r"input_ids is empty: shape \(0, 5\)",
    ),
    "float ids": (
        lambda: build("bert"),
        {"input_ids": torch.zeros(1, 5)},
        {},
        InputError,
        "must hold integer token ids, got torch.float32",
    ),
    "int8 ids": (
        lambda: build("bert"),
        {"input_ids": torch.zeros(1, 5, dtype=torch.int8)},
        {},
        InputError,
        "int64 or int32 token ids, got torch.int8",
    ),
    "double for a float model": (
        lambda: Inline(lambda m, x: x),
        PICTURE.double(),
        {},
        InputError,
        r"input is torch.float64 but the model is torch.float32.*\.to\(torch.float32\)",
    ),
    "NaN input": (
        lambda: Inline(lambda m, x: x),
        PICTURE + float("nan"),
        {},
        InputError,
        "input holds NaN",
    ),
    "text": (lambda: build("bert"), "a text", {}, InputError, "expected a tensor or a mapping"),
    "nothing": (lambda: build("bert"), {}, {}, InputError, "nothing to explain"),
    "no embedding": (
        NoEmbedding,
        {"input_ids": torch.ones(1, 3, dtype=torch.long)},
        {},
        ModelError,
        "no embedding module took input_ids",
    ),
    "unknown class": (
        lambda: build("bert"),
        inputs("bert"),
        {"target": "great"},
        lxt.errors.TargetError,
        "unknown class 'great'; the model's classes are 'LABEL_0', 'LABEL_1', 'LABEL_2'",
    ),
    "class out of range": (
        lambda: build("bert"),
        inputs("bert"),
        {"target": 3},
        lxt.errors.TargetError,
        "out of range: the model has 3 classes",
    ),
    "too many targets": (
        lambda: build("bert"),
        inputs("bert"),
        {"target": [0, 1, 2]},
        lxt.errors.TargetError,
        "got 3 targets for a batch of 2",
    ),
    "unknown layer": (
        lambda: build("bert"),
        inputs("bert"),
        {"layers": ["encoder.layer.7"]},
        InputError,
        "no module matches the layer 'encoder.layer.7'",
    ),
    "unknown composite": (
        lambda: build("bert"),
        inputs("bert"),
        {"composite": "attn"},
        lxt.errors.CompositeError,
        "unknown composite 'attn'; the presets are attnlrp, cp_lrp",
    ),
    "not on the path": (
        lambda: Inline(lambda m, x: x.detach()),
        PICTURE,
        {"target": 0},
        InputError,
        "does not depend on the explained inputs",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    make, given, options, error, message = MISTAKES[name]
    model = make().eval()
    before = snapshot(model)
    with pytest.raises(error, match=message) as caught:
        lxt.attribute(model, given, **options)
    assert isinstance(caught.value, LxtError)
    assert differences(before, model) == []


@pytest.mark.parametrize("model", [None, 3])
def test_no_model(model: Any) -> None:
    with pytest.raises(
        InputError, match=r"expected a torch\.nn\.Module, a transformers pipeline, a local"
    ):
        lxt.attribute(model, PICTURE)


def test_audit() -> None:
    model, batch = build("qwen3_moe"), inputs("qwen3_moe")
    audit = lxt.audit(model, batch, TARGET)
    assert audit.ok
    assert "ok: the account closes" in str(audit)
    assert {"linear", "attention", "norm", "activation", "product"} <= {r.kind for r in audit.rows}
    assert not lxt.audit(model, batch, TARGET, "gradient").ok
    # what arrives at the first row is the score
    declared = sum(sum(r.declared.values()) for r in audit.rows)
    booked = sum(float(v.sum()) for v in audit.ledger.entries.values())
    assert declared == pytest.approx(booked, rel=1e-9)
