"""What a type needs beyond the general sizes: fields of its configuration, forward inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

KEEP = "keep"
"""In place of a value: the configuration's own default."""

_HYBRID = ["linear_attention", "hybrid"]

_SWIN = {
    "image_size": 32,
    "patch_size": 2,
    "window_size": 4,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [2, 4],
}

SPECIAL: dict[str, dict[str, Any]] = {
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4},
    "lilt": {"hidden_size": 48},
    "swin": _SWIN,
    "swinv2": _SWIN,
    "donut-swin": _SWIN,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "reformer": {
        "axial_pos_embds_dim": [16, 16],
        "axial_pos_shape": [4, 2],
        "attn_layers": ["local", "lsh"],
        "num_buckets": 2,
        "hash_seed": 0,
        "local_attn_chunk_length": 4,
        "lsh_attn_chunk_length": 4,
    },
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "convnext": {"patch_size": 2},
    "convnextv2": {"patch_size": 2},
    "bit": {"num_groups": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2},
    "zamba": {
        "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
        "num_hidden_layers": 3,
        "attention_hidden_size": 64,
    },
    "zamba2": {
        "layers_block_type": _HYBRID,
        "num_hidden_layers": 2,
        "mamba_headdim": 16,
        "n_mamba_heads": 4,
        "num_mem_blocks": 1,
    },
    "recurrent_gemma": {"num_hidden_layers": 3, "lru_width": 32},
    "cohere_compass_text": {
        "rope_parameters": {
            k: {"rope_type": "default", "rope_theta": 1e4}
            for k in ("full_attention", "sliding_attention")
        }
    },
    "mistral4": {"head_dim": 16},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "qwen4_exp_text": {
        "indexer_token_budget": 4,
        "indexer_compress_ratio": 2,
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 4,
    },
    "neomme": {"head_dim": 16},
    "efficientnet": {"width_coefficient": 0.25, "depth_coefficient": 0.3, "hidden_dim": 320},
    "hgnet_v2": {
        "hidden_sizes": [16, 32, 64, 128],
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 16, 32, 64],
        "stage_mid_channels": [4, 8, 16, 32],
        "stage_out_channels": [16, 32, 64, 128],
    },
    "levit": {
        "hidden_sizes": [32, 48, 64],
        "num_attention_heads": [2, 3, 4],
        "key_dim": [8, 8, 8],
        "image_size": 64,
        "patch_size": 16,
    },
    "mobilevitv2": {"patch_size": 2, "image_size": 64},
    "textnet": {
        "stem_out_channels": 16,
        "hidden_sizes": [16, 16, 32, 64, 128],
        "image_size": [64, 64],
    },
    "audio-spectrogram-transformer": {"max_length": 64, "num_mel_bins": 32},
    "whisper": {"max_source_positions": 30},
    "encoder-decoder": {"decoder": {"is_decoder": True, "add_cross_attention": True}},
    "perceiver": {"num_latents": 16, "d_latents": 64, "num_self_attends_per_block": 2},
    "xlstm": {"hidden_size": 128, "embedding_dim": 128},
    "bros": {"dim_bbox_sinusoid_emb_2d": 16, "dim_bbox_sinusoid_emb_1d": 2},
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "intermediate_size": [48] * 4,
        "activation_sparsity_pattern": [0.95, 0.0] * 2,
    },
    "dbrx": {"attn_config": {"rope_theta": 1e4, "kv_n_heads": 2, "clip_qkv": 8.0}},
    "lxmert": {"num_qa_labels": 3},
    "bamba": {
        "attn_layer_indices": [1],
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_n_groups": 1,
    },
    "granitemoehybrid": {
        "layer_types": ["linear_attention", "full_attention"],
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_n_groups": 1,
    },
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 1},
    "zaya": {"num_experts_per_tok": 1},
}


def _whole(config: Any, given: dict[str, Tensor]) -> dict[str, Any]:
    """Without a cache: filling it overwrites what the backward needs, or drops the causal mask."""
    return {**given, "use_cache": False}


def _canine(config: Any, given: dict[str, Tensor]) -> dict[str, Any]:
    """Characters are hashed, not looked up: explained at their embeddings."""
    ids = given["input_ids"]
    return {
        "inputs_embeds": torch.randn((*ids.shape, config.hidden_size)),
        "attention_mask": given["attention_mask"],
    }


def _lxmert(config: Any, given: dict[str, Tensor]) -> dict[str, Any]:
    batch = len(given["input_ids"])
    return {
        **given,
        "visual_feats": torch.randn((batch, 4, config.visual_feat_dim)),
        "visual_pos": torch.rand((batch, 4, config.visual_pos_dim)),
    }


def _longformer(config: Any, given: dict[str, Tensor]) -> dict[str, Any]:
    """A question: three separators."""
    given["input_ids"][given["input_ids"] == config.sep_token_id] = config.sep_token_id + 1
    given["input_ids"][:, 3:6] = config.sep_token_id
    return given


def _spectrogram(config: Any, given: dict[str, Tensor]) -> dict[str, Any]:
    return {"input_values": torch.randn((2, config.max_length, config.num_mel_bins))}


def _features(config: Any, given: dict[str, Tensor]) -> dict[str, Any]:
    return {"input_features": torch.randn((2, 60, config.feature_projection_input_dim))}


INPUTS: dict[str, Callable[[Any, dict[str, Tensor]], dict[str, Any]]] = {
    "rwkv": _whole,
    "reformer": _whole,
    "granitemoehybrid": _whole,
    "bamba": _whole,
    "fsmt": _whole,
    "canine": _canine,
    "lxmert": _lxmert,
    "longformer": _longformer,
    "audio-spectrogram-transformer": _spectrogram,
    "wav2vec2-bert": _features,
}
"""model type -> its inputs, from those that its signature asks for."""

_QUANTISED = "the image becomes token ids (argmin): LRP has no meaning for its pixels"
REASONS: dict[str, str] = {
    "chameleon": _QUANTISED,
    "emu3": _QUANTISED,
    "blt": "transformers' own model does not run: its configuration lacks num_hidden_layers",
    "gemma4_assistant": "its own default configuration is refused by transformers",
    "gemma4_unified_assistant": "reads another model's cache: not a model of its own",
}
"""Type -> why it does not close, where the error's own words do not say it."""
