"""GPT-2, language model or sequence classification: learned positions, pre-norm blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.oracles import linear as linear_oracle
from tests.oracles.account import Account, explain_rows, weights_of
from tests.oracles.arrays import Array, Composite
from tests.oracles.attention_step import Attention
from tests.oracles.steps import (
    Activation,
    Books,
    Pick,
    Residual,
    Step,
    Weights,
    explain_chain,
    gelu_tanh,
)


def gpt2(
    model: Any, inputs: Mapping[str, Any], target: Any, composite: Composite = "attnlrp"
) -> Account:
    """Explain logit `target` at the last real token of a GPT2LMHeadModel or
    GPT2ForSequenceClassification (gelu_new), from its weights.

    entries: "bias", "position", "softmax" (0 under CP-LRP).
    """
    tensors, config = weights_of(model), model.config

    def explain(
        ids: Array, positions: Array, types: Array, target: int, books: Books
    ) -> tuple[Array, Array]:
        del types  # GPT-2 has none of its own
        return _sequence(Weights(tensors, books), config, ids, positions, target, composite)

    return explain_rows(inputs, target, explain)


class _Block:
    """x -> h = x + W_o attention(LN x) -> h + W_2 gelu(W_1 LN h)."""

    def __init__(self, weights: Weights, config: Any, name: str, composite: Composite) -> None:
        heads, eps = config.n_head, config.layer_norm_epsilon
        self.attention_norm = weights.layer_norm(f"{name}.ln_1", eps)
        self.qkv = weights.conv1d(f"{name}.attn.c_attn")
        self.attention = Attention(heads, heads, composite, weights.books, causal=True)
        self.attention_output = weights.conv1d(f"{name}.attn.c_proj")
        self.attention_sum = Residual()
        self.mlp_norm = weights.layer_norm(f"{name}.ln_2", eps)
        self.up = weights.conv1d(f"{name}.mlp.c_fc")
        self.gelu = Activation(gelu_tanh)
        self.down = weights.conv1d(f"{name}.mlp.c_proj")
        self.mlp_sum = Residual()

    def forward(self, x: Array) -> Array:
        q, k, v = np.split(self.qkv.forward(self.attention_norm.forward(x)), 3, axis=-1)
        mixed = self.attention_output.forward(self.attention.forward(q, k, v))
        h = self.attention_sum.forward(x, mixed)
        expanded = self.gelu.forward(self.up.forward(self.mlp_norm.forward(h)))
        return self.mlp_sum.forward(h, self.down.forward(expanded))

    def relevance(self, R: Array) -> Array:
        R_h, R_mlp = self.mlp_sum.relevance(R)
        R_mlp = self.up.relevance(self.gelu.relevance(self.down.relevance(R_mlp)))
        R_h = R_h + self.mlp_norm.relevance(R_mlp)
        R_x, R_mixed = self.attention_sum.relevance(R_h)
        R_qkv = self.attention.relevance(self.attention_output.relevance(R_mixed))
        R_normed = self.qkv.relevance(np.concatenate(R_qkv, axis=-1))
        return R_x + self.attention_norm.relevance(R_normed)


def _sequence(
    weights: Weights, config: Any, ids: Array, positions: Array, target: int, composite: Composite
) -> tuple[Array, Array]:
    embedded = [
        weights.tensors["transformer.wte.weight"][ids],
        weights.tensors["transformer.wpe.weight"][positions],
    ]
    names = [f"transformer.h.{i}" for i in range(config.n_layer)]
    head = "score" if "score.weight" in weights.tensors else "lm_head"
    steps: list[tuple[str | None, Step]] = [
        *[(name, _Block(weights, config, name, composite)) for name in names],
        (None, weights.layer_norm("transformer.ln_f", config.layer_norm_epsilon)),
        (None, Pick(len(ids) - 1)),
        (None, weights.linear(head)),
    ]
    R, logits = explain_chain(steps, np.sum(embedded, axis=0), target, weights.books)
    R_words, R_positions = linear_oracle.add(embedded, R)
    weights.books.entries["position"] += float(R_positions.sum())
    return R_words, logits
