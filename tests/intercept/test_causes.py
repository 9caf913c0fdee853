"""Why relevance stays behind: causes by name, and closed forms of constants."""

from __future__ import annotations

import pytest
import torch

from lxt_like.intercept.causes import (
    cause_of,
    cause_of_name,
    constant_share,
    mark,
    out_of_place,
    overwrites,
    rounding,
)
from lxt_like.patch.outputs import explained_outputs
from tests.support import random


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("bert.embeddings.position_embeddings", "position"),
        ("transformer.wpe", "position"),
        ("vit.embeddings.position_embeddings", "position"),
        ("pos_embed", "position"),
        ("encoder.pos", "position"),
        ("block.0.SelfAttention.relative_attention_bias", "position"),
        ("bert.embeddings.token_type_embeddings", "token_type"),
        ("segment_embeddings", "token_type"),
        ("layer.0.dense.bias", "bias"),
        ("in_proj_bias", "bias"),
        ("cls_token", "cls"),
        ("encoder.class_token", "cls"),
        ("vision_model.embeddings.class_embedding", "cls"),
        ("class_embed.0.bias", "bias"),
        ("deit.embeddings.distillation_token", "distillation"),
        ("dist_token", "distillation"),
        ("embeddings.register_tokens", "register"),
        ("reg_token", "register"),
        ("mask_token", "constant"),
        ("model.norm.weight", "constant"),
        ("composition.bias", "bias"),
        ("exposition_bias", "bias"),
        ("decomposition", "constant"),
        ("positionwise.w", "constant"),
        ("segmentation_head.bias", "bias"),
        ("segments.weight", "token_type"),
        ("tokenTypeEmbeddings", "token_type"),
        ("subclass_token", "constant"),
        ("posEmbed", "position"),
        ("decoder.embed_positions.weight", "position"),
        ("attn.rel_pos_h", "position"),
        ("blocks.0.attn.relative_position_bias_table", "position"),
        ("encoder.relative_attention_bias.weight", "position"),
        ("rotary_emb.inv_freq", "position"),
    ],
)
def test_names(name: str, cause: str) -> None:
    assert cause_of_name(name) == cause


def test_a_constant_remembers_what_it_was_made_of() -> None:
    table, shift, plain = random(3), random(3, seed=1), random(3, seed=2)
    names = {id(table): "pos_embed", id(shift): "dense.bias"}
    assert [cause_of(t, names) for t in (table, shift, plain)] == ["position", "bias", "constant"]
    for operands, cause in (
        ([table, shift], "position"),
        ([shift, plain], "bias"),
        ([plain], "constant"),
        ([random(3).requires_grad_(), table], "cut"),
    ):
        out = random(3)
        mark(out, operands, torch.add, "", names)
        assert cause_of(out, {}) == cause
    looked_up = random(3)
    mark(looked_up, [torch.tensor([1]), table], torch.embedding, "model.wpe", {})
    assert cause_of(looked_up, {}) == "position"


def test_values_from_a_table_stay_constant_among_positions() -> None:
    """As in a decoder whose words are not explained; a weight takes the cause of what it meets."""
    words, weight, sums, scaled, cut = (random(3, seed=i) for i in range(5))
    position = random(3, seed=9)
    names = {id(position): "relative_attention_bias.weight", id(weight): "v_proj.weight"}
    mark(words, [torch.tensor([1]), weight], torch.embedding, "decoder.embed_tokens", names)
    mark(sums, [words, position], torch.add, "", names)
    mark(scaled, [position, weight], torch.mul, "", names)
    assert [cause_of(t, names) for t in (words, sums, scaled)] == [
        "constant",
        "constant",
        "position",
    ]
    mark(cut, [sums, random(3).requires_grad_()], torch.add, "", names)
    assert cause_of(cut, names) == "cut"


def test_shares() -> None:
    g = random(2, 3)
    value = random(3, seed=1)
    share = constant_share("position", value, -2.0, g)
    assert list(share) == ["position"]
    assert share["position"].each(2) == pytest.approx((-2 * (value * g).sum(1)).tolist(), rel=1e-12)
    x = random(2, 3)
    narrow = x.to(torch.bfloat16)
    lost = float(rounding(narrow, x, g.to(torch.bfloat16))["rounding"])
    wide = g.to(torch.bfloat16).double()
    assert lost == pytest.approx(float(((narrow.double() - x) * wide).sum()), rel=1e-9)
    assert rounding(x, x, g) == {}


@pytest.mark.parametrize(
    ("func", "kwargs", "writes"),
    [
        (torch.Tensor.add_, {}, True),
        (torch.Tensor.__setitem__, {}, True),
        (torch.Tensor.__imul__, {}, True),
        (torch.nn.functional.relu, {"inplace": True}, True),
        (torch.nn.functional.relu, {"inplace": False}, False),
        (torch.Tensor.add, {}, False),
        (torch.Tensor.__mul__, {}, False),
        (torch.Tensor.requires_grad_, {}, False),
    ],
)
def test_writing_functions(func: object, kwargs: dict[str, bool], writes: bool) -> None:
    assert overwrites(func, kwargs) == writes


WRITES = [
    (torch.Tensor.add_, (random(3, seed=1),), {"alpha": 2}),
    (torch.Tensor.__isub__, (random(3, seed=1),), {}),
    (torch.Tensor.mul_, (3.0,), {}),
    (torch.Tensor.masked_fill_, (torch.tensor([True, False, True]), 2.0), {}),
    (torch.Tensor.__setitem__, (slice(0, 2), 5.0), {}),
    (torch.Tensor.copy_, (random(1),), {}),
    (torch.Tensor.zero_, (), {}),
    (torch.Tensor.fill_, (2.0,), {}),
    (torch.Tensor.clamp_, (), {"min": 0.0}),
    (torch.nn.functional.relu, (), {"inplace": True}),
    (torch.Tensor.index_add_, (0, torch.tensor([0, 0, 1]), random(3, seed=2)), {}),
]


@pytest.mark.parametrize(
    ("func", "rest", "kwargs"), WRITES, ids=lambda p: getattr(p, "__name__", "")
)
def test_out_of_place_computes_the_same(func: object, rest: tuple, kwargs: dict) -> None:  # type: ignore[type-arg]
    x = random(3)
    written = x.clone()
    func(written, *rest, **kwargs)  # type: ignore[operator]
    plain, arguments, options = out_of_place(func, (x, *rest), kwargs)
    before = x.clone()
    assert torch.equal(plain(x, *arguments, **options), written)
    assert torch.equal(x, before)


def test_random_writes_have_no_such_form() -> None:
    assert out_of_place(torch.Tensor.normal_, (random(3),), {})[0] is None


def test_outputs_that_are_explained_are_known_by_words() -> None:
    outputs = {
        name: random(2, seed=i).requires_grad_() * 2
        for i, name in enumerate(["glossary", "loss", "mlm_loss", "cross_attentions", "aux_logits"])
    }
    assert explained_outputs(outputs) == [outputs["glossary"]]
