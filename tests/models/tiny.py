"""Tiny random Hugging Face models for the tests, described by data: one `Family` each.

The weights are drawn so that mistakes show: no bias, LayerNorm shift or norm weight is left at
its neutral value, attention is far from uniform, and the scores are of order one. Weights depend
on (family, head, seed) alone, so float32 and float64, SDPA and eager copies are the same model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

Head = Literal["classification", "lm"]
Kernel = Literal["sdpa", "eager"]
Experts = Literal["eager", "batched_mm", "grouped_mm"]
Padding = Literal["none", "left", "right"]

VOCABULARY = 61
FIRST_WORD_ID = 4  # below it: padding and the like
PAD_ID = 1
MAX_POSITIONS = 40
LABELS = 3


@dataclass(frozen=True)
class Family:
    """What `build` and `inputs` need to know of a model family.

    Attributes:
        config: overrides of the family's configuration, beyond `COMMON`.
        decoder: causal; its "lm" head is a causal one, otherwise a masked one.
        left_padding: left padding leaves the predictions as they are (decoders only: encoders
            read their first position).
        absolute_positions: positions must be passed along when the padding is on the left.
        kernels: attention implementations the family runs with, the default first.
        norm_centre: what an RMSNorm weight is neutral at (Gemma multiplies by 1 + weight).
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    decoder: bool = False
    left_padding: bool = False
    absolute_positions: bool = False
    kernels: tuple[Kernel, ...] = ("sdpa", "eager")
    norm_centre: float = 1.0


COMMON: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": MAX_POSITIONS,
    "pad_token_id": PAD_ID,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "num_labels": LABELS,
}

_GROUPED = {"num_key_value_heads": 2, "head_dim": 8, "attention_bias": True}

FAMILIES: Mapping[str, Family] = {
    "bert": Family(),
    "distilbert": Family({"hidden_dim": 48}),
    "roberta": Family({"layer_norm_eps": 1e-5}),
    "gpt2": Family({"n_inner": 48}, decoder=True, left_padding=True, absolute_positions=True),
    "llama": Family(
        {"num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True},
        decoder=True,
        left_padding=True,
    ),
    "qwen3": Family(_GROUPED, decoder=True, left_padding=True),
    "qwen3_moe": Family(
        {
            **_GROUPED,
            "num_hidden_layers": 3,
            "mlp_only_layers": [1],
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "norm_topk_prob": True,
        },
        decoder=True,
        left_padding=True,
    ),
    "gemma2": Family(
        {
            **_GROUPED,
            "query_pre_attn_scalar": 8,
            "sliding_window": 4,
            # tight enough that both caps bend the values they see
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 10.0,
        },
        decoder=True,
        left_padding=True,
        kernels=("eager",),  # SDPA knows no softcap and transformers refuses it
        norm_centre=0.0,
    ),
    "modernbert": Family(
        {
            "num_hidden_layers": 3,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
            "local_attention": 8,
            "attention_bias": True,
            "mlp_bias": True,
            "norm_bias": True,
            "classifier_bias": True,
            "cls_token_id": 2,
            "sep_token_id": 3,
        }
    ),
}


def build(
    name: str,
    *,
    dtype: torch.dtype = torch.float32,
    attn: Kernel | None = None,
    experts: Experts | None = None,
    seed: int = 0,
    head: Head = "classification",
) -> Any:
    """The tiny random `PreTrainedModel` of a family, in eval mode; global seeds are untouched.

    Args:
        name: a key of `FAMILIES`.
        dtype: of parameters and buffers; the values are those of float64, rounded.
        attn: attention implementation; None: the family's default (SDPA, eager for Gemma 2).
        experts: implementation of a mixture's experts; None: transformers' default (grouped),
            in float64 "eager", as the grouped kernel knows no float64. Others ignore it.
        seed: of the weights.
        head: "classification" (3 labels, at the first or the last real token as the family has
            it) or "lm" (causal for decoders, masked for encoders).
    """
    import transformers

    family = FAMILIES[name]
    attn = attn or family.kernels[0]
    if attn not in family.kernels:
        raise ValueError(f"{name} runs with {family.kernels}, not with {attn!r}")
    if experts is None and dtype == torch.float64:
        experts = "eager"
    heads: Mapping[Head, Any] = {
        "classification": transformers.AutoModelForSequenceClassification,
        "lm": transformers.AutoModelForCausalLM
        if family.decoder
        else transformers.AutoModelForMaskedLM,
    }
    config = transformers.AutoConfig.for_model(name, **{**COMMON, **family.config})
    with torch.random.fork_rng(devices=[]):
        made = heads[head].from_config(
            config, attn_implementation=attn, experts_implementation=experts
        )
    model = made.to(dtype).eval()
    randomise(model, seed=seed, norm_centre=family.norm_centre)
    return model


@torch.no_grad()
def randomise(model: nn.Module, *, seed: int = 0, norm_centre: float = 1.0) -> None:
    """Draw every parameter anew, each from its own generator (name order does not matter).

    Matrices: std 1.2 / sqrt(fan in); embeddings: 0.7; biases and shifts: 0.3; norm weights:
    0.3 around `norm_centre`.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    transposed = {id(m.weight) for m in model.modules() if type(m).__name__ == "Conv1D"}
    for name, parameter in model.named_parameters():
        generator = torch.Generator().manual_seed(_stable_hash(f"{seed}:{name}"))
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        if parameter.ndim == 1:
            centre = 0.0 if name.endswith("bias") else norm_centre
            noise = 0.3 * noise + centre
        elif id(parameter) in embeddings:
            noise = 0.7 * noise
        else:
            fan_in = parameter.shape[0 if id(parameter) in transposed else -1]
            noise = 1.2 / math.sqrt(fan_in) * noise
        parameter.copy_(noise)


def widen(model: Any) -> Any:
    """Replace the RMSNorms that compute in float32 whatever comes, in place; return the model.

    `torch.nn.RMSNorm` computes in the input's dtype: with SDPA nothing of a float64 Llama, Qwen 3
    or dense decoder is narrowed any more, and identities close to float64 precision.
    """
    for parent in list(model.modules()):
        for name, norm in list(parent.named_children()):
            kind = type(norm).__name__
            if not kind.endswith("RMSNorm") or isinstance(norm, nn.RMSNorm):
                continue
            weight = norm.weight.detach()
            if kind.startswith("Gemma"):
                weight = 1.0 + weight
            eps = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
            wide = nn.RMSNorm(weight.shape[0], eps=eps, dtype=weight.dtype)
            wide.weight = nn.Parameter(weight.clone())
            setattr(parent, name, wide.train(norm.training))
    return model


def inputs(
    name: str,
    batch: int = 2,
    length: int = 9,
    padded: Padding = "none",
    seed: int = 0,
) -> dict[str, Tensor]:
    """Random `input_ids` and `attention_mask`, both int64 [batch, length].

    When padded, row r has length - 3 r real tokens (at least 2) and the pad id elsewhere. Left
    padding also gives `position_ids` where the family counts positions from the row's start;
    it is refused for the encoders, which read position 0 as their summary.
    """
    family = FAMILIES[name]
    if padded == "left" and not family.left_padding:
        raise ValueError(f"{name} reads its first position: left padding changes its prediction")
    generator = torch.Generator().manual_seed(_stable_hash(f"inputs:{seed}"))
    ids = torch.randint(FIRST_WORD_ID, VOCABULARY, (batch, length), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(batch) if padded != "none" else ():
        short = length - max(2, length - 3 * row)
        if short:
            gap = slice(0, short) if padded == "left" else slice(length - short, length)
            mask[row, gap] = 0
    ids[mask == 0] = PAD_ID
    made = {"input_ids": ids, "attention_mask": mask}
    if padded == "left" and family.absolute_positions:
        made["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    return made


def single(batch: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
    """One row of `inputs` without its padding, as a batch of one."""
    real = batch["attention_mask"][row].bool()
    return {key: value[row][real][None] for key, value in batch.items()}


def _stable_hash(text: str) -> int:
    import zlib

    return zlib.crc32(text.encode())
