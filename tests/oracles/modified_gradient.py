"""The established formulation of the same rules, to hold against the oracles: modified gradients.

Plain torch autograd over forwards of our own, one unpadded sequence at a time. q / 4, k / 4, v / 2;
halves of a product; the scale of a norm detached; x * (f(x) / x) with the ratio detached.
Relevance is activation * gradient. Used by tests only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Recipe:
    """Factors on the gradients of q, k, v and of a gated product's gate and signal."""

    q: float
    k: float
    v: float
    gate: float
    up: float
    norm_scale_held: bool = True
    activation_ratio: bool = True


RECIPES: Mapping[str, Recipe] = {
    "attnlrp": Recipe(q=1 / 4, k=1 / 4, v=1 / 2, gate=1 / 2, up=1 / 2),
    "cp_lrp": Recipe(q=0, k=0, v=1, gate=0, up=1),
    "gradient": Recipe(1, 1, 1, 1, 1, norm_scale_held=False, activation_ratio=False),
}


@dataclass
class Trace:
    """One sequence's forward: the recipe, the parameters, and the values whose relevance we want.

    values: by name: "word", "position", "token_type" and each layer's module name.
    softmaxes: pairs (scores, weights) of every head and layer.
    """

    recipe: Recipe
    parameters: Mapping[str, Tensor]
    values: dict[str, Tensor] = field(default_factory=dict)
    softmaxes: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def watch(self, name: str, value: Tensor) -> Tensor:
        """Keep the gradient of a value."""
        self.values[name] = value
        value.retain_grad()
        return value

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.parameters[f"{name}.weight"], self.parameters.get(f"{name}.bias"))

    def conv1d(self, name: str, x: Tensor) -> Tensor:
        return x @ self.parameters[f"{name}.weight"] + self.parameters[f"{name}.bias"]

    def layer_norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        scale = (x.var(-1, keepdim=True, correction=0) + eps).rsqrt()
        normed = (x - x.mean(-1, keepdim=True)) * self._held(scale)
        return normed * self.parameters[f"{name}.weight"] + self.parameters[f"{name}.bias"]

    def rms_norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        scale = (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
        return x * self._held(scale) * self.parameters[f"{name}.weight"]

    def activation(self, f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return x * (f(x) / x).detach() if self.recipe.activation_ratio else f(x)

    def gated(self, gate: Tensor, up: Tensor) -> Tensor:
        return scaled(gate, self.recipe.gate) * scaled(up, self.recipe.up)

    def attention(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
        """q: [heads, tokens, d]; k, v of as many or fewer heads -> [tokens, heads * d]."""
        q, k, v = scaled(q, self.recipe.q), scaled(k, self.recipe.k), scaled(v, self.recipe.v)
        k, v = (t.repeat_interleave(q.shape[0] // t.shape[0], dim=0) for t in (k, v))
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        if causal:
            scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -torch.inf)
        weights = scores.softmax(-1)
        scores.retain_grad()
        weights.retain_grad()
        self.softmaxes.append((scores, weights))
        return (weights @ v).transpose(0, 1).flatten(1)

    def _held(self, scale: Tensor) -> Tensor:
        return scale.detach() if self.recipe.norm_scale_held else scale


def scaled(t: Tensor, factor: float) -> Tensor:
    """t with its gradient multiplied by `factor`."""
    return t * factor + (t * (1 - factor)).detach()


def heads(t: Tensor, count: int) -> Tensor:
    """[tokens, heads * d] -> [heads, tokens, d]."""
    return t.reshape(len(t), count, -1).transpose(0, 1)


def bert(trace: Trace, config: Any, ids: Tensor, positions: Tensor) -> Tensor:
    """Logits of BertForSequenceClassification, token types 0."""
    p, eps, n = trace.parameters, config.layer_norm_eps, config.num_attention_heads
    x = trace.watch("word", p["bert.embeddings.word_embeddings.weight"][ids])
    kinds = torch.zeros_like(ids)
    types = trace.watch("token_type", p["bert.embeddings.token_type_embeddings.weight"][kinds])
    places = trace.watch("position", p["bert.embeddings.position_embeddings.weight"][positions])
    x = trace.layer_norm("bert.embeddings.LayerNorm", x + types + places, eps)
    for i in range(config.num_hidden_layers):
        name = f"bert.encoder.layer.{i}"
        x = trace.watch(name, x)
        q, k, v = (
            heads(trace.linear(f"{name}.attention.self.{part}", x), n)
            for part in ("query", "key", "value")
        )
        mixed = trace.linear(f"{name}.attention.output.dense", trace.attention(q, k, v))
        x = trace.layer_norm(f"{name}.attention.output.LayerNorm", x + mixed, eps)
        h = trace.activation(F.gelu, trace.linear(f"{name}.intermediate.dense", x))
        h = trace.linear(f"{name}.output.dense", h)
        x = trace.layer_norm(f"{name}.output.LayerNorm", x + h, eps)
    pooled = trace.activation(torch.tanh, trace.linear("bert.pooler.dense", x[0]))
    return trace.linear("classifier", pooled)


def gpt2(trace: Trace, config: Any, ids: Tensor, positions: Tensor) -> Tensor:
    """Logits at the last token of GPT2LMHeadModel or GPT2ForSequenceClassification."""
    p, eps, n = trace.parameters, config.layer_norm_epsilon, config.n_head
    x = trace.watch("word", p["transformer.wte.weight"][ids])
    x = x + trace.watch("position", p["transformer.wpe.weight"][positions])

    def gelu(t: Tensor) -> Tensor:
        return F.gelu(t, approximate="tanh")

    for i in range(config.n_layer):
        name = f"transformer.h.{i}"
        x = trace.watch(name, x)
        qkv = trace.conv1d(f"{name}.attn.c_attn", trace.layer_norm(f"{name}.ln_1", x, eps))
        q, k, v = (heads(t, n) for t in qkv.chunk(3, dim=-1))
        x = x + trace.conv1d(f"{name}.attn.c_proj", trace.attention(q, k, v, causal=True))
        h = trace.conv1d(f"{name}.mlp.c_fc", trace.layer_norm(f"{name}.ln_2", x, eps))
        x = x + trace.conv1d(f"{name}.mlp.c_proj", trace.activation(gelu, h))
    x = trace.layer_norm("transformer.ln_f", x, eps)
    return trace.linear("score" if "score.weight" in p else "lm_head", x[-1])


def llama(trace: Trace, config: Any, ids: Tensor, positions: Tensor) -> Tensor:
    """Logits at the last token of LlamaForCausalLM or LlamaForSequenceClassification."""
    p, eps = trace.parameters, config.rms_norm_eps
    theta, d = config.rope_parameters["rope_theta"], config.head_dim
    angles = positions[:, None].float() * (1.0 / theta ** (torch.arange(0, d, 2).float() / d))
    # RoPE as a rotation of the complex numbers (x_i, x_{i + d/2}); rounded as the model does
    cos, sin = angles.cos().double(), angles.sin().double()

    def turned(t: Tensor) -> Tensor:
        real, imaginary = t.chunk(2, dim=-1)
        return torch.cat([real * cos - imaginary * sin, imaginary * cos + real * sin], dim=-1)

    x = trace.watch("word", p["model.embed_tokens.weight"][ids])
    for i in range(config.num_hidden_layers):
        name = f"model.layers.{i}"
        x = trace.watch(name, x) if i else trace.watch(name, x.clone())
        normed = trace.rms_norm(f"{name}.input_layernorm", x, eps)
        q = heads(trace.linear(f"{name}.self_attn.q_proj", normed), config.num_attention_heads)
        k, v = (
            heads(trace.linear(f"{name}.self_attn.{part}_proj", normed), config.num_key_value_heads)
            for part in "kv"
        )
        mixed = trace.attention(turned(q), turned(k), v, causal=True)
        x = x + trace.linear(f"{name}.self_attn.o_proj", mixed)
        normed = trace.rms_norm(f"{name}.post_attention_layernorm", x, eps)
        gate = trace.activation(F.silu, trace.linear(f"{name}.mlp.gate_proj", normed))
        product = trace.gated(gate, trace.linear(f"{name}.mlp.up_proj", normed))
        x = x + trace.linear(f"{name}.mlp.down_proj", product)
    x = trace.rms_norm("model.norm", x, eps)
    return trace.linear("score" if "score.weight" in p else "lm_head", x[-1])


FORWARDS: Mapping[str, Callable[[Trace, Any, Tensor, Tensor], Tensor]] = {
    "bert": bert,
    "gpt2": gpt2,
    "llama": llama,
}


@dataclass(frozen=True)
class Relevances:
    """values: relevance by name, as in `Trace`; biases: b * b.grad, summed; softmax: its entry."""

    score: float
    values: Mapping[str, Tensor]
    biases: Mapping[str, float]
    softmax: float


def explain(model: Any, ids: Tensor, positions: Tensor, target: int, recipe: Recipe) -> Relevances:
    """activation * gradient of logit `target` for one sequence, ids and positions [tokens]."""
    parameters = {
        name: value.detach().double().requires_grad_() for name, value in model.state_dict().items()
    }
    trace = Trace(recipe, parameters)
    score = FORWARDS[model.config.model_type](trace, model.config, ids, positions)[target]
    torch.autograd.backward(score)

    def relevance(value: Tensor) -> Tensor:
        gradient = torch.zeros_like(value) if value.grad is None else value.grad
        return torch.where(gradient == 0, 0.0, value * gradient).detach()

    # q / 4 and k / 4 leave the gradient of weights and scores whole: their half is taken here
    half = recipe.q + recipe.k
    return Relevances(
        score=float(score.detach()),
        values={name: relevance(value) for name, value in trace.values.items()},
        biases={
            name: float(relevance(value).sum())
            for name, value in parameters.items()
            if name.endswith(".bias")
        },
        softmax=half
        * sum(float(relevance(a).sum() - relevance(s).sum()) for s, a in trace.softmaxes),
    )
