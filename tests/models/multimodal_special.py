"""Configuration fields of models that read images or sounds beside text: data, no code.

A part's fields stand under the part's name.  Numbers follow the zoo: width 32, images of 32 x 32
in patches of 8 x 8.
"""

from __future__ import annotations

from typing import Any

_QFORMER = {"cross_attention_frequency": 1, "encoder_hidden_size": 32}
_QUERIES: dict[str, Any] = {
    "num_query_tokens": 4,
    "image_text_hidden_size": 32,
    "qformer_config": _QFORMER,
}
_TILED = {"image_grid_pinpoints": [[32, 32]]}
_EXPERTS = {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 24}
_GEMMA4_TEXT = {
    "vocab_size_per_layer_input": 99,
    "hidden_size_per_layer_input": 8,
    "global_head_dim": 16,
}
_GEMMA4_VISION: dict[str, Any] = {
    "model_type": "gemma4_vision",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "patch_size": 8,
    "pooling_kernel_size": 2,
    "position_embedding_size": 16,
}
_UNIFIED_VISION: dict[str, Any] = {
    "patch_size": 4,
    "pooling_kernel_size": 2,
    "mm_embed_dim": 32,
    "mm_posemb_size": 16,
    "output_proj_dims": 32,
}
_SAM: dict[str, Any] = {"global_attn_indexes": [1], "output_channels": 32, "window_size": 2}
_OCR_VISION = {"sam_config": {**_SAM, "downsample_channels": [16, 32]}}
_MOE = {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2}
_OMNI: dict[str, Any] = {
    "vision_start_token_id": 85,
    "vision_end_token_id": 86,
    "audio_start_token_id": 87,
    "audio_config": {"downsample_hidden_size": 8},
}
_NOTE_TEXT = {
    "index_topk": 4,
    "index_head_dim": 8,
    "index_n_heads": 2,
    "shared_experts_intermediate_size": 24,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 4,
    "swa_q_lora_rank": 16,
    "swa_kv_lora_rank": 16,
    "swa_head_dim": 16,
    "swa_qk_nope_head_dim": 8,
    "swa_v_head_dim": 8,
}
_LINEAR = {
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_MINICPM = {"insert_layer_id": 0, "text_config": _LINEAR}
_INDEXER = {
    **_LINEAR,
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 4,
    "indexer_compress_ratio": 2,
    "hc_lowrank": 8,
}
_COMPASS_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
_VQ: dict[str, Any] = {
    "base_channels": 32,
    "channel_multiplier": [1, 1, 1, 1],
    "num_res_blocks": 1,
    "embed_dim": 8,
    "latent_channels": 8,
    "resolution": 32,
}
_SQUARED = {"intermediate_size": 128}
_LETTERS = "ABCDEFGH"

SPECIAL: dict[str, dict[str, Any]] = {
    "align": {
        "projection_dim": 16,
        "vision_config": {
            "width_coefficient": 1.0,
            "depth_coefficient": 1.0,
            "kernel_sizes": [3, 3],
            "in_channels": [32, 16],
            "out_channels": [16, 16],
            "strides": [1, 2],
            "num_block_repeats": [1, 1],
            "expand_ratios": [1, 2],
            "hidden_dim": 16,
        },
    },
    "aria": {"projector_patch_to_query_dict": {16: 4}},
    "blip-2": {**_QUERIES, "qformer_config": {**_QFORMER, "use_qformer_text_input": True}},
    "chameleon": {
        "vq_config": {**_VQ, "num_embeddings": 8},
        "vocabulary_map": {
            "<image>": 90,
            **{f"IMGIMG{letter}Z": 80 + i for i, letter in enumerate(_LETTERS)},
        },
    },
    "cohere2_vision": {"alignment_intermediate_size": 64},
    "cohere_compass": {"text_config": {"rope_parameters": {"full_attention": _COMPASS_ROPE}}},
    "deepseek_ocr2": {"vision_config": _OCR_VISION, "text_config": _MOE},
    "deepseek_vl_hybrid": {"high_res_vision_config": _SAM},
    "diffusion_gemma": {
        "text_config": {**_EXPERTS, "global_head_dim": 16},
        "vision_config": _GEMMA4_VISION,
        "canvas_length": 8,
    },
    "dots3_note": {
        "text_config": _NOTE_TEXT,
        "vision_config": {**_MOE, "adapter_in_dim": 32, "adapter_out_dim": 32},
        "audio_config": {
            "adapter_input_size": 32,
            "adapter_out_dim": 32,
            "downsample_hidden_size": 8,
        },
    },
    "emu3": {
        "vq_config": {**_VQ, "codebook_size": 8, "attn_resolutions": [3]},
        "vocabulary_map": {
            "<image>": 90,
            "<|extra_200|>": 91,
            **{f"<|visual token {i:06d}|>": 80 + i for i in range(8)},
        },
    },
    "florence2": {
        "vision_config": {
            "embed_dim": [16, 16, 32, 32],
            "num_heads": [2, 2, 2, 2],
            "num_groups": [2, 2, 2, 2],
            "depths": [1, 1, 1, 1],
            "window_size": 2,
        }
    },
    "gemma4": {"text_config": _GEMMA4_TEXT, "vision_config": _GEMMA4_VISION},
    "gemma4_unified": {"vision_config": {"model_type": "gemma4_unified_vision", **_UNIFIED_VISION}},
    "glmasr": {"audio_config": _SQUARED},
    "glm5_next": {
        "text_config": {
            "qk_rope_head_dim": 0,
            "head_dim": 0,
            "index_topk": 4,
            "index_kpool": 2,
            "index_head_dim": 8,
            "index_n_heads": 2,
            "linear_head_dim": 8,
            "linear_num_heads": 4,
            "num_key_value_heads": 4,
        },
        "vision_config": {"projection_intermediate_size": 48},
    },
    "granite4_vision": {
        **_TILED,
        "vision_config": {"hidden_size": 64},
        "qformer_config": {"cross_attention_frequency": 1, "intermediate_size": 48},
        "deepstack_layer_map": [[1, 0]],
        "spatial_target_layers": [1],
        "downsample_rate": "1/2",
    },
    "hunyuan_vl": {"vision_config": {"temporal_patch_size": 1}},
    "inkling_mm_model": {"vision_config": {"num_hidden_layers": 2}},
    "instructblip": _QUERIES,
    "instructblipvideo": {**_QUERIES, "video_token_index": 90},
    "janus": {
        "vq_config": {"base_channels": 32, "channel_multiplier": [1, 1], "latent_channels": 32}
    },
    "kimi_k25": {"projection_hidden_size": 32},
    "kosmos-2": {"latent_query_num": 4},
    "kosmos-2.5": {"latent_query_num": 4},
    "llama4": {
        "vision_config": {
            "intermediate_size": 128,
            "vision_output_dim": 32,
            "projector_input_dim": 32,
            "projector_output_dim": 32,
        }
    },
    "llava_next": _TILED,
    "llava_next_video": _TILED,
    "llava_onevision": _TILED,
    "minicpm_ocr": _MINICPM,
    "minicpmv4_6": _MINICPM,
    "minicpmv4_7": _MINICPM,
    "mistral4": {"head_dim": 16},
    "mllama": {
        "vision_config": {
            "max_num_tiles": 2,
            "supported_aspect_ratios": [[1, 1], [1, 2]],
            "intermediate_layers_indices": [0],
            "vision_output_dim": 64,
        },
        "text_config": {"cross_attention_layers": [1]},
    },
    "molmo2": {
        "image_patch_id": 90,
        "adapter_config": {"vision_feature_layer": [1, 0]},
        "vision_config": {"image_size": [32, 32], "num_position_embeddings": 16},
    },
    "muse_glimmer": {"out_hidden_size": 128, "projector_hidden_size": 32},
    "muse_spark": {
        "out_hidden_size": 128,
        "projector_hidden_size": 32,
        "audio_config": {"patch_sizes": [4, 2], "hidden_sizes": [16, 32], "depths": [1, 1]},
        "text_config": {"moe_hidden_size": 32},
    },
    "musicgen": {"decoder": {"num_codebooks": 1}},
    "musicgen_melody": {"decoder": {"num_codebooks": 1}},
    "nemo_speechlm": {
        "audio_config": {"diarization_config": {"head_config": {"audio_hidden_size": 32}}},
    },
    "neomme": {"head_dim": 16},
    "nemotron_h_omni": {
        "vision_config": {"video_temporal_patch_size": 2},
        "vision_hidden_size": 32,
        "projector_hidden_size": 32,
    },
    "phi4_multimodal": {
        "vision_config": {"crop_size": 32},
        "audio_config": {
            "num_blocks": 1,
            "ext_pw_out_channel": 32,
            "depthwise_separable_out_channel": 32,
            "nemo_conv_channels": 8,
        },
    },
    "pi0": {"chunk_size": 4},
    "pp_formulanet": {
        "vision_config": {
            **_SAM,
            "post_conv_in_channels": 32,
            "post_conv_mid_channels": 32,
            "post_conv_out_channels": 32,
            "decoder_hidden_size": 32,
        }
    },
    "qwen2_5_omni_thinker": _OMNI,
    "qwen3_omni_moe_thinker": _OMNI,
    "qwen3_asr": {"audio_config": {"downsample_hidden_size": 8}},
    "qwen3_5": {"text_config": _LINEAR},
    "qwen3_5_moe": {"text_config": _LINEAR},
    "qwen4_exp": {"text_config": _INDEXER},
    "shieldgemma2": {"yes_token_index": 10, "no_token_index": 11},
    "step3p7": {"text_config": {"sliding_window": 4}},
    "unlimited_ocr": {"vision_config": _OCR_VISION},
    "videoprism": {
        "vision_config": {
            "tubelet_size": [1, 8, 8],
            "num_frames": 2,
            "num_spatial_layers": 2,
            "num_temporal_layers": 2,
            "num_auxiliary_layers": 1,
        }
    },
    "voxtral": {"audio_config": _SQUARED},
    "vipllava": {"vision_feature_layers": [-1, -2]},
    "vision-encoder-decoder": {"decoder": {"is_decoder": True, "add_cross_attention": True}},
}
"""model type -> fields that the general rules do not get right."""
