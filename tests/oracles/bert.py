"""BERT for sequence classification: embeddings, post-norm encoder, tanh pooler, classifier."""

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
    gelu,
)


def bert(
    model: Any, inputs: Mapping[str, Any], target: Any, composite: Composite = "attnlrp"
) -> Account:
    """Explain logit `target` of a BertForSequenceClassification (gelu), from its weights.

    entries: "bias", "position", "token_type", "softmax" (0 under CP-LRP).
    """
    tensors, config = weights_of(model), model.config

    def explain(
        ids: Array, positions: Array, types: Array, target: int, books: Books
    ) -> tuple[Array, Array]:
        return _sequence(Weights(tensors, books), config, ids, positions, types, target, composite)

    return explain_rows(inputs, target, explain)


class _Layer:
    """x -> h = LN(x + W_o attention(x)) -> LN(h + W_2 gelu(W_1 h))."""

    def __init__(self, weights: Weights, config: Any, name: str, composite: Composite) -> None:
        heads, eps = config.num_attention_heads, config.layer_norm_eps
        self.projections = [
            weights.linear(f"{name}.attention.self.{part}") for part in ("query", "key", "value")
        ]
        self.attention = Attention(heads, heads, composite, weights.books)
        self.attention_output = weights.linear(f"{name}.attention.output.dense")
        self.attention_sum = Residual()
        self.attention_norm = weights.layer_norm(f"{name}.attention.output.LayerNorm", eps)
        self.up = weights.linear(f"{name}.intermediate.dense")
        self.gelu = Activation(gelu)
        self.down = weights.linear(f"{name}.output.dense")
        self.mlp_sum = Residual()
        self.mlp_norm = weights.layer_norm(f"{name}.output.LayerNorm", eps)

    def forward(self, x: Array) -> Array:
        q, k, v = (projection.forward(x) for projection in self.projections)
        mixed = self.attention_output.forward(self.attention.forward(q, k, v))
        h = self.attention_norm.forward(self.attention_sum.forward(x, mixed))
        expanded = self.gelu.forward(self.up.forward(h))
        return self.mlp_norm.forward(self.mlp_sum.forward(h, self.down.forward(expanded)))

    def relevance(self, R: Array) -> Array:
        R_h, R_mlp = self.mlp_sum.relevance(self.mlp_norm.relevance(R))
        R_mlp = self.gelu.relevance(self.down.relevance(R_mlp))
        R_h = R_h + self.up.relevance(R_mlp)
        R_x, R_mixed = self.attention_sum.relevance(self.attention_norm.relevance(R_h))
        R_qkv = self.attention.relevance(self.attention_output.relevance(R_mixed))
        for projection, R_part in zip(self.projections, R_qkv, strict=True):
            R_x = R_x + projection.relevance(R_part)
        return R_x


def _sequence(
    weights: Weights,
    config: Any,
    ids: Array,
    positions: Array,
    types: Array,
    target: int,
    composite: Composite,
) -> tuple[Array, Array]:
    table = "bert.embeddings"
    embedded = [
        weights.tensors[f"{table}.word_embeddings.weight"][ids],
        weights.tensors[f"{table}.position_embeddings.weight"][positions],
        weights.tensors[f"{table}.token_type_embeddings.weight"][types],
    ]
    names = [f"bert.encoder.layer.{i}" for i in range(config.num_hidden_layers)]
    steps: list[tuple[str | None, Step]] = [
        (None, weights.layer_norm(f"{table}.LayerNorm", config.layer_norm_eps)),
        *[(name, _Layer(weights, config, name, composite)) for name in names],
        (None, Pick(0)),
        (None, weights.linear("bert.pooler.dense")),
        (None, Activation(np.tanh)),
        (None, weights.linear("classifier")),
    ]
    R, logits = explain_chain(steps, np.sum(embedded, axis=0), target, weights.books)
    R_words, R_positions, R_types = linear_oracle.add(embedded, R)
    weights.books.entries["position"] += float(R_positions.sum())
    weights.books.entries["token_type"] += float(R_types.sum())
    return R_words, logits
