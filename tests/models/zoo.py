"""A tiny random model of any type that transformers knows, from its configuration alone.

Sizes shrink by the names of a configuration's fields, in one place; what a type needs beyond that
is data, in ``special.py``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.models.auto import modeling_auto as auto

from tests.models import multimodal, special
from tests.models.special import INPUTS, KEEP

TASKS: dict[str, Mapping[str, Any]] = {
    "sequence-classification": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "token-classification": auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    "question-answering": auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    "masked-lm": auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    "causal-lm": auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "seq2seq-lm": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "image-classification": auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    "audio-classification": auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
    "image-text": auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    "image-text-to-text": auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
}

WIDTH, HEADS, LAYERS, VOCABULARY, TOKENS = 32, 4, 2, 99, 8


def _names(text: str, value: Any) -> dict[str, Any]:
    return dict.fromkeys(text.split(), value)


SIZES: dict[str, Any] = {
    **_names("hidden_size d_model n_embd dim embed_dim emb_dim model_dim hidden_dim", WIDTH),
    **_names("embedding_size word_embed_proj_dim projection_dim d_embed output_dim", WIDTH),
    **_names("num_hidden_layers num_layers n_layer n_layers encoder_layers decoder_layers", LAYERS),
    **_names("num_decoder_layers num_encoder_layers depth decoder_depth", LAYERS),
    **_names("num_attention_heads n_head n_heads num_heads encoder_attention_heads", HEADS),
    **_names("decoder_attention_heads attention_heads", HEADS),
    **_names("num_key_value_heads n_head_kv num_kv_heads", 2),
    **_names("intermediate_size ffn_dim d_ff n_inner encoder_ffn_dim decoder_ffn_dim d_inner", 48),
    **_names("feed_forward_size ffn_hidden_size dense_ffn_size mlp_dim", 48),
    **_names("moe_intermediate_size shared_expert_intermediate_size expert_ffn_hidden_size", 24),
    **_names("shared_intermediate_size intermediate_size_mlp", 24),
    **_names("num_local_experts num_experts n_routed_experts moe_num_experts", 4),
    **_names("num_experts_per_tok num_experts_per_token moe_k top_k_experts", 2),
    **_names("head_dim kv_channels attention_head_size d_kv", WIDTH // HEADS),
    **_names("vocab_size vocab_size_per_layer_input entity_vocab_size", VOCABULARY),
    **_names("max_position_embeddings n_positions max_sequence_length n_ctx", 64),
    **_names("image_size", 32),
    **_names("patch_size", 8),
    **_names("q_lora_rank kv_lora_rank", 16),
    **_names("qk_nope_head_dim qk_rope_head_dim v_head_dim", 8),
    **_names("first_k_dense_replace", 1),
    **_names("n_group topk_group", 1),
    **_names("pad_token_id", 0),
    **_names("bos_token_id eos_token_id decoder_start_token_id", 1),
    **_names("state_size ssm_state_size mamba_d_state", 4),
    **_names("sliding_window", 4),
    **_names("num_labels", 3),
    **_names("rotary_dim", 4),
    **_names("input_size", 32),
    **_names("window_size", 2),
    **multimodal.SIZES,
}

UNSET = {"head_dim", "vocab_size", "num_key_value_heads"}
"""Set even where the default is None."""

LISTS: dict[str, Callable[[int], int]] = {
    **_names("hidden_sizes embed_dims encoder_hidden_sizes neck_hidden_sizes", lambda i: 16 << i),
    **_names("depths num_blocks layer_depths", lambda i: 1),
    **_names("num_heads num_attention_heads", lambda i: 2 << i),
}
"""What holds one size per stage."""

SPECIAL: dict[str, dict[str, Any]] = {**special.SPECIAL, **multimodal.SPECIAL}
"""model type -> fields that the rules above do not get right."""

TASK_FIELDS: dict[str, dict[str, Any]] = {
    "question-answering": {"num_labels": 2},
    "causal-lm": {"is_decoder": True},
}
"""task -> fields that its head asks for."""


def tiny_config(model_type: str, **fields: Any) -> PretrainedConfig:
    """The type's default configuration, shrunk."""
    cls = CONFIG_MAPPING[model_type]
    return cls(**{**_shrunk(cls(), SPECIAL.get(model_type, {})), **fields})


def _shrunk(config: PretrainedConfig, special: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    values = {k: _value(config, k) for k in (*vars(config), *_fields(config))}
    for name, value in values.items():
        if isinstance(value, PretrainedConfig):
            given[name] = {"model_type": value.model_type, **_shrunk(value, special.get(name, {}))}
        elif name in LISTS and isinstance(value, (list, tuple)) and value:
            given[name] = [LISTS[name](i) for i in range(len(value))]
        elif name in SIZES and (name in UNSET if value is None else _is_int(value)):
            given[name] = SIZES[name]
    heads, groups = values.get("num_attention_heads"), values.get("num_key_value_heads")
    if "num_key_value_heads" in given and heads == groups is not None:
        given["num_key_value_heads"] = given.get("num_attention_heads", HEADS)
    kinds = values.get("layer_types")
    if isinstance(kinds, (list, tuple)) and kinds and "num_hidden_layers" in given:
        given["layer_types"] = [*dict.fromkeys(kinds)]
        given["layer_types"] *= 2 if len(given["layer_types"]) == 1 else 1
        given["num_hidden_layers"] = len(given["layer_types"])
    for name in ("pad_token_id", "num_labels"):
        if name in values or name == "num_labels":
            given.setdefault(name, SIZES[name])
    given.update(multimodal.fields(config, values, given))
    plain = {k: v for k, v in special.items() if not isinstance(given.get(k), dict)}
    return {k: v for k, v in {**given, **plain}.items() if v != KEEP}


def _value(config: PretrainedConfig, name: str) -> Any:
    try:
        return getattr(config, name, None)
    except RuntimeError:  # varies over the layers
        return config.__dict__.get(name)


def _fields(config: PretrainedConfig) -> list[str]:
    taken = inspect.signature(type(config).__init__).parameters
    return [n for n in taken if n not in ("self", "kwargs", "args")]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _of_task(model_type: str, task: str) -> dict[str, Any]:
    known = CONFIG_MAPPING[model_type]().to_dict()
    return {k: v for k, v in TASK_FIELDS.get(task, {}).items() if k in known or k == "num_labels"}


def build(model_type: str, task: str, attention: str = "sdpa") -> nn.Module:
    """A random model with random non-zero biases, in eval mode."""
    import transformers

    name = TASKS[task][model_type]
    name = name if isinstance(name, str) else name[0]
    config = tiny_config(model_type, **_of_task(model_type, task))
    torch.manual_seed(0)
    cls = getattr(transformers, name)
    text = config.get_text_config(decoder=True)
    if not isinstance(config, cls.config_class) and isinstance(text, cls.config_class):
        config = text
    try:
        config._attn_implementation = attention
        model = cls(config)
    except (ValueError, ImportError):
        config._attn_implementation = "eager"
        model = cls(config)
    return randomised(model)


def randomised(model: nn.Module) -> nn.Module:
    """In eval mode, with weights that let signals through and non-zero biases."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if not parameter.is_floating_point():
            continue
        # the usual 0.02 dies out within a few narrow layers; what starts at zero gets noise
        if parameter.dim() > 1 and parameter.any():
            deviation, fan_in = float(parameter.data.std()), parameter[0].numel()
            if deviation == 0:  # a head that starts at zero
                parameter.data.normal_(std=fan_in**-0.5, generator=generator)
            elif deviation < fan_in**-0.5:
                parameter.data *= fan_in**-0.5 / deviation
        else:
            noise = torch.randn(parameter.shape, generator=generator) * 0.1
            parameter.data += noise.to(parameter.dtype)
    return model.eval()


def example(model: nn.Module, batch: int = 2) -> dict[str, Any]:
    """Inputs for one forward, by the names in its signature."""
    generator = torch.Generator().manual_seed(1)
    taken = inspect.signature(model.forward).parameters
    config: Any = model.config
    text = getattr(config, "text_config", None) or config
    given: dict[str, Tensor] = {}
    if "input_ids" in taken:
        vocabulary = min(getattr(text, "vocab_size", None) or VOCABULARY, VOCABULARY)
        ids = torch.randint(3, min(vocabulary, 80), (batch, TOKENS), generator=generator)
        given["input_ids"] = ids
        if "attention_mask" in taken:
            given["attention_mask"] = torch.ones_like(ids)
        if config.is_encoder_decoder and "decoder_input_ids" in taken:
            given["decoder_input_ids"] = ids.flip(1).contiguous()
            ids[:, -1] = given["decoder_input_ids"][:, -1] = SIZES["eos_token_id"]
    if "pixel_values" in taken:
        vision = getattr(config, "vision_config", None) or config
        size = getattr(vision, "image_size", None) or 32
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        channels = getattr(vision, "num_channels", None) or 3
        shape = (batch, channels, height, width)
        given["pixel_values"] = torch.randn(shape, generator=generator)
    if not given and "input_values" in taken:
        given["input_values"] = torch.randn((batch, 2000), generator=generator)
    if not given and "input_features" in taken:
        bins = getattr(config, "num_mel_bins", None) or 80
        given["input_features"] = torch.randn((batch, bins, 60), generator=generator)
    if "bbox" in taken and "input_ids" in given:
        corners = torch.randint(0, 5, (*given["input_ids"].shape, 4), generator=generator)
        given["bbox"] = corners + torch.tensor([0, 0, 5, 5])
    if config.model_type in INPUTS:
        given = INPUTS[config.model_type](config, given)
    return multimodal.inputs(model, given)
