"""attribute() and audit(): inputs of all kinds, callers' modes, and clear errors."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import InputError, LxtError, ModelError, NumericalError, UnruledWarning
from tests.models.tiny import build, inputs
from tests.oracles.arrays import relative_error
from tests.restore.snapshot import differences, snapshot
from tests.support import COMPOSITES, Inline, closing_error, draw, inline, per_score, random


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


def test_an_input_that_does_not_enter_the_score_is_named() -> None:
    """Its relevance is zero, which is right and must not be silent."""

    class Quantised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.codes, self.head = nn.Embedding(6, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor, picture: Tensor) -> Tensor:
            return self.head(x + self.codes(picture.argmax(-1)))

    given = {"x": torch.ones(2, 4), "picture": torch.ones(2, 6)}
    with pytest.warns(lxt.errors.UnreachedWarning, match="^picture has no relevance") as caught:
        found = lxt.attribute(Quantised(), given, 0, ledger=True)
    assert caught[0].filename == __file__
    assert not found.relevance["picture"].any()
    assert found.relevance["x"].all()
    assert found.ledger.closed


@pytest.mark.parametrize("model", [None, 3])
def test_no_model(model: Any) -> None:
    with pytest.raises(
        InputError, match=r"expected a torch\.nn\.Module, a transformers pipeline, a local"
    ):
        lxt.attribute(model, PICTURE)


@pytest.mark.parametrize("ledger", [False, True])
def test_an_attribution_holds_no_graph(ledger: bool) -> None:
    """Kept by the thousand, explanations must not keep the activations of each."""
    got = lxt.attribute(build("llama"), inputs("llama"), 0, ledger=ledger)
    assert got.output.logits.grad_fn is None
    assert got.output.past_key_values is None
    assert got.score.grad_fn is None
    assert got.relevance.grad_fn is None


def test_audit() -> None:
    model, batch = build("qwen3_moe"), inputs("qwen3_moe")
    audit = lxt.audit(model, batch, [1, 2])
    assert audit.ok
    assert "ok: the account closes" in str(audit)
    assert {"linear", "attention", "norm", "activation", "product"} <= {r.kind for r in audit.rows}
    assert not lxt.audit(model, batch, [1, 2], "gradient").ok
    # the rows and the ledger tell the same story
    declared = sum(sum(r.declared.values()) for r in audit.rows)
    booked = sum(float(v.sum()) for v in audit.ledger.entries.values())
    assert declared == pytest.approx(booked, rel=1e-9)


def test_exact_zeros_before_an_activation() -> None:
    """0 / 0 is the slope at 0, at hidden layers too."""
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.GELU(), nn.Linear(6, 3))
    draw(net)
    x = random(3, 4).float()
    exact = lxt.attribute(copy.deepcopy(net).double(), x.double(), 0, layers=["1"])
    got = lxt.attribute(net, x, 0, layers=["1"])
    assert bool((net[:2](x) == 0).any())
    assert relative_error(got.relevance, exact.relevance) < 1e-5
    assert relative_error(got.layers["1"], exact.layers["1"]) < 1e-5
    with torch.no_grad():
        net[0].weight[3, 0] = torch.nan
    with pytest.raises(NumericalError, match=r"0\.weight holds NaN"):
        lxt.attribute(net, x, 0)


def test_a_bias_computed_from_the_input() -> None:
    def body(m: nn.Module, x: Tensor) -> Tensor:
        return m.b(F.linear(x, m.a.weight, m.a(x)[0]))

    plain_linear = lxt.Assign(lxt.rules.Gradient(), kind="linear")
    composite = lxt.composites.AttnLRP() + lxt.Composite([plain_linear])
    net, x = inline(body), random(2, 6)
    for p in net.parameters():
        p.requires_grad_(False)
    leaf = x.clone().requires_grad_()
    net(leaf)[:, 0].sum().backward()
    assert relative_error(lxt.attribute(net, x, 0, composite).relevance, x * leaf.grad) < 1e-12


def test_a_norm_under_autocast() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.LayerNorm(512), nn.Linear(512, 3))
    x = torch.randn(4, 512) * 3 + 1
    want = lxt.attribute(net, x, 0).relevance
    with torch.autocast("cpu", torch.bfloat16):
        got = lxt.attribute(net, x, 0).relevance
    assert float((got.sum(-1) - want.sum(-1)).abs().max()) < 0.002 * float(want.abs().sum(-1).max())
    net[1].bfloat16()
    net[0].float()
    mixed = nn.Sequential(net[0], nn.Identity())
    assert torch.isfinite(lxt.attribute(mixed, x, 0).relevance).all()


def test_a_model_that_differentiates_itself_in_its_forward() -> None:
    """What the rules saved is overwritten in the last backward alone."""

    def body(m: nn.Module, x: Tensor) -> Tensor:
        hidden = F.gelu(m.a(x))
        (inner,) = torch.autograd.grad(hidden.sum(), x, retain_graph=True)
        assert bool(torch.isfinite(inner).all())
        return m.b(hidden)

    plain = inline(lambda m, x: m.b(F.gelu(m.a(x))))
    net = inline(body)
    net.load_state_dict(plain.state_dict())
    x = random(3, 6)
    with pytest.warns(UnruledWarning, match="takes a gradient itself"):
        found = lxt.attribute(net, x, 0, strict=False)
    assert torch.equal(found.relevance, lxt.attribute(plain, x, 0).relevance)
