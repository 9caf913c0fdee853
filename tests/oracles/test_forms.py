"""AttnLRP and CP-LRP of one layer of every form of attention, against the written-out oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from tests.models import zoo
from tests.oracles import forms

TOKENS = 6


@dataclass(frozen=True)
class Form:
    """A layer in a model, how it is called, and its oracle."""

    model: Any
    layer: Any
    call: Callable[[Tensor], Tensor]
    oracle: Callable[[Tensor, bool], Tensor]


class Wrapped(nn.Module):
    """The layer of a form, as a model of one tensor [1, tokens, width]."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.layer, self.call = form.layer, form.call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


def _model(name: str, task: str, attention: str = "sdpa") -> Any:
    return zoo.build(name, task, attention).double()


def _plain() -> Form:
    m = _model("bert", "sequence-classification")
    layer = m.bert.encoder.layer[0].attention.self
    return Form(m, layer, lambda x: layer(x)[0], lambda x, cp: forms.plain(layer, x, cp))


def _grouped() -> Form:
    m = _model("llama", "causal-lm")
    layer = m.model.layers[0].self_attn
    places = torch.arange(TOKENS)[None]
    cos, sin = m.model.rotary_emb(torch.zeros(1, dtype=torch.float64), places)
    mask = torch.full((TOKENS, TOKENS), -torch.inf, dtype=torch.float64).triu(1)[None, None]
    return Form(
        m,
        layer,
        lambda x: layer(x, position_embeddings=(cos, sin), attention_mask=mask)[0],
        lambda x, cp: forms.grouped(layer, x, cp, cos[0], sin[0]),
    )


def _alibi() -> Form:
    m = _model("mpt", "causal-lm")
    layer = m.transformer.blocks[0].attn
    bias = m.transformer.build_mpt_alibi_tensor(layer.n_heads, TOKENS).double()
    bias = bias.reshape(layer.n_heads, 1, TOKENS)
    mask = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)[None, None]
    return Form(
        m,
        layer,
        lambda x: layer(x, position_bias=bias, attention_mask=mask)[0],
        lambda x, cp: forms.alibi(layer, x, cp, bias),
    )


def _relative() -> Form:
    m = _model("t5", "seq2seq-lm")
    layer = m.encoder.block[0].layer[0].SelfAttention
    return Form(m, layer, lambda x: layer(x)[0], lambda x, cp: forms.relative(layer, x, cp))


def _cross() -> Form:
    m = _model("t5", "seq2seq-lm")
    layer = m.decoder.block[0].layer[1].EncDecAttention

    # one tensor holds both sequences, so that one relevance covers them
    def call(x: Tensor) -> Tensor:
        return layer(x[:, :2], key_value_states=x[:, 2:])[0]

    return Form(m, layer, call, lambda x, cp: forms.cross(layer, x[:2], cp, x[2:]))


def _disentangled() -> Form:
    torch.manual_seed(0)
    from transformers import DebertaV2Config
    from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention

    config = DebertaV2Config(
        hidden_size=32,
        num_attention_heads=4,
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        max_relative_positions=8,
        position_buckets=-1,
    )
    layer: Any = zoo.randomised(DisentangledSelfAttention(config)).double()
    places = torch.randn(16, 32, dtype=torch.float64)
    mask = torch.ones(1, 1, TOKENS, TOKENS)
    return Form(
        layer,
        layer,
        lambda x: layer(x, mask, rel_embeddings=places)[0],
        lambda x, cp: forms.disentangled(layer, x, cp, places),
    )


def _linear() -> Form:
    m = _model("minimax", "causal-lm")
    layer = next(x for x in m.modules() if type(x).__name__ == "MiniMaxLightningAttention")
    return Form(
        m, layer, lambda x: layer(x, None, None)[0], lambda x, cp: forms.linear(layer, x, cp)
    )


def _state_space() -> Form:
    m = _model("mamba", "causal-lm")
    layer = m.backbone.layers[0].mixer
    return Form(m, layer, lambda x: layer(x), lambda x, cp: forms.state_space(layer, x, cp))


FORMS: dict[str, Callable[[], Form]] = {
    "plain": _plain,
    "grouped": _grouped,
    "ALiBi": _alibi,
    "relative bias": _relative,
    "disentangled": _disentangled,
    "cross": _cross,
    "linear": _linear,
    "state space": _state_space,
}


CASES = [(name, c) for name in FORMS for c in ("attnlrp", "cp_lrp")]


@pytest.mark.parametrize(("name", "composite"), [*CASES, ("state space", "mamba_lrp")])
def test_relevance_equals_the_loops(name: str, composite: str) -> None:
    form = FORMS[name]()
    model = Wrapped(form).eval()
    generator = torch.Generator().manual_seed(3)
    width = 32 if name == "disentangled" else form.model.config.hidden_size
    x = torch.randn((1, TOKENS, width), dtype=torch.float64, generator=generator)
    leaf = x[0].clone().requires_grad_()
    if composite == "mamba_lrp":
        out = forms.state_space(form.layer, leaf, cp=False, hold=True)
    else:
        out = form.oracle(leaf, composite == "cp_lrp")
    weights = torch.randn(out.shape, dtype=torch.float64, generator=generator)
    (out * weights).sum().backward()
    assert leaf.grad is not None
    wanted = leaf.detach() * leaf.grad

    target = lxt.targets.Output(lambda y: (y[0] * weights).sum()[None])
    found = lxt.attribute(model, x, target, composite)
    assert torch.allclose(found.output[0], out.detach(), rtol=1e-6, atol=1e-6)
    error = float((found.relevance[0] - wanted).norm() / wanted.norm())
    assert error < 1e-5
    # a rule that did nothing would be seen
    plain = lxt.attribute(model, x, target, "gradient").relevance[0]
    assert float((plain - wanted).norm() / wanted.norm()) > 1e-3
