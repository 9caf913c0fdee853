"""Llama, language model or sequence classification: RMSNorm, RoPE, grouped heads, SwiGLU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from tests.oracles import attention as attention_oracle
from tests.oracles.account import Account, explain_rows, weights_of
from tests.oracles.arrays import Array, Composite, array
from tests.oracles.attention_step import Attention
from tests.oracles.steps import Books, Pick, Residual, Step, Weights, explain_chain, silu


def llama(
    model: Any, inputs: Mapping[str, Any], target: Any, composite: Composite = "attnlrp"
) -> Account:
    """Explain logit `target` at the last real token of a LlamaForCausalLM or
    LlamaForSequenceClassification (silu, default RoPE), from its weights.

    In float64 throughout, RMSNorm included, which Hugging Face computes in float32.

    entries: "bias", "softmax" (0 under CP-LRP).
    """
    tensors, config = weights_of(model), model.config

    def explain(
        ids: Array, positions: Array, types: Array, target: int, books: Books
    ) -> tuple[Array, Array]:
        del types  # Llama has none
        return _sequence(Weights(tensors, books), config, ids, positions, target, composite)

    return explain_rows(inputs, target, explain)


def rotation(config: Any, positions: Array) -> tuple[Array, Array]:
    """cos and sin [tokens, head_dim] of default RoPE; constants, so rounded as the model does."""
    d = config.head_dim
    frequencies = 1.0 / (
        config.rope_parameters["rope_theta"] ** (torch.arange(0, d, 2, dtype=torch.float32) / d)
    )
    angles = torch.tensor(positions, dtype=torch.float32)[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return array(angles.cos()), array(angles.sin())


class _GatedMLP:
    """W_down (silu(W_gate x) * (W_up x)).

    AttnLRP: half of the product to the activated gate and through silu to W_gate x by the
    identity rule, half to W_up x. CP-LRP: the activated gate is a constant weight.
    """

    def __init__(self, weights: Weights, name: str, composite: Composite) -> None:
        self.gate, self.up, self.down = (
            weights.linear(f"{name}.{part}_proj") for part in ("gate", "up", "down")
        )
        self.composite = composite

    def forward(self, x: Array) -> Array:
        self.factors = silu(self.gate.forward(x)), self.up.forward(x)
        return self.down.forward(self.factors[0] * self.factors[1])

    def relevance(self, R: Array) -> Array:
        R_product = self.down.relevance(R)
        parts = attention_oracle.product(*self.factors, R_product)
        if self.composite == "cp_lrp":
            parts = {"a": np.zeros_like(R_product), "b": R_product}
        return self.gate.relevance(parts["a"]) + self.up.relevance(parts["b"])


class _Layer:
    """x -> h = x + W_o attention(norm x) -> h + mlp(norm h)."""

    def __init__(
        self,
        weights: Weights,
        config: Any,
        name: str,
        rotary: tuple[Array, Array],
        composite: Composite,
    ) -> None:
        eps = config.rms_norm_eps
        self.attention_norm = weights.rms_norm(f"{name}.input_layernorm", eps)
        self.projections = [weights.linear(f"{name}.self_attn.{part}_proj") for part in "qkv"]
        self.attention = Attention(
            config.num_attention_heads,
            config.num_key_value_heads,
            composite,
            weights.books,
            causal=True,
            rotary=rotary,
        )
        self.attention_output = weights.linear(f"{name}.self_attn.o_proj")
        self.attention_sum = Residual()
        self.mlp_norm = weights.rms_norm(f"{name}.post_attention_layernorm", eps)
        self.mlp = _GatedMLP(weights, f"{name}.mlp", composite)
        self.mlp_sum = Residual()

    def forward(self, x: Array) -> Array:
        normed = self.attention_norm.forward(x)
        q, k, v = (projection.forward(normed) for projection in self.projections)
        mixed = self.attention_output.forward(self.attention.forward(q, k, v))
        h = self.attention_sum.forward(x, mixed)
        return self.mlp_sum.forward(h, self.mlp.forward(self.mlp_norm.forward(h)))

    def relevance(self, R: Array) -> Array:
        R_h, R_mlp = self.mlp_sum.relevance(R)
        R_h = R_h + self.mlp_norm.relevance(self.mlp.relevance(R_mlp))
        R_x, R_mixed = self.attention_sum.relevance(R_h)
        R_qkv = self.attention.relevance(self.attention_output.relevance(R_mixed))
        R_normed = np.zeros_like(R_x)
        for projection, R_part in zip(self.projections, R_qkv, strict=True):
            R_normed = R_normed + projection.relevance(R_part)
        return R_x + self.attention_norm.relevance(R_normed)


def _sequence(
    weights: Weights, config: Any, ids: Array, positions: Array, target: int, composite: Composite
) -> tuple[Array, Array]:
    names = [f"model.layers.{i}" for i in range(config.num_hidden_layers)]
    rotary = rotation(config, positions)
    head = "score" if "score.weight" in weights.tensors else "lm_head"
    steps: list[tuple[str | None, Step]] = [
        *[(name, _Layer(weights, config, name, rotary, composite)) for name in names],
        (None, weights.rms_norm("model.norm", config.rms_norm_eps)),
        (None, Pick(len(ids) - 1)),
        (None, weights.linear(head)),
    ]
    x = weights.tensors["model.embed_tokens.weight"][ids]
    return explain_chain(steps, x, target, weights.books)
