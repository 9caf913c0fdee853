"""Configuration fields of models that read images or sounds beside text: data, no code.

A part's fields stand under the part's name.  Numbers follow the zoo: width 32, images of 32 x 32
in patches of 8 x 8.
"""

from __future__ import annotations

from typing import Any

_PARTS = {"depth": 2, "num_heads": 4}
_QFORMER = {"cross_attention_frequency": 1, "encoder_hidden_size": 32}
_QUERIES: dict[str, Any] = {
    "num_query_tokens": 4,
    "image_token_index": 90,
    "image_text_hidden_size": 32,
    "qformer_config": _QFORMER,
}
_TILED = {"image_grid_pinpoints": [[32, 32]]}
_GEMMA4_VISION: dict[str, Any] = {
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

SPECIAL: dict[str, dict[str, Any]] = {
    "aria": {"projector_patch_to_query_dict": {16: 4}},
    "blip-2": {**_QUERIES, "qformer_config": {**_QFORMER, "use_qformer_text_input": True}},
    "instructblip": _QUERIES,
    "instructblipvideo": {**_QUERIES, "video_token_index": 90},
    "gemma4": {"vision_config": {"model_type": "gemma4_vision", **_GEMMA4_VISION}},
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
    "kosmos-2": {"latent_query_num": 4},
    "kosmos-2.5": {"latent_query_num": 4},
    "mllama": {"vision_config": {"max_num_tiles": 2, "supported_aspect_ratios": [[1, 1], [1, 2]]}},
    "molmo2": {
        "image_patch_id": 90,
        "adapter_config": {"vision_feature_layer": [1, 0]},
        "vision_config": {"image_size": [32, 32], "num_position_embeddings": 16},
    },
    "nemotron_h_omni": {"vision_config": {"video_temporal_patch_size": 2}},
    "vipllava": {"vision_feature_layers": [-1, -2]},
}
"""model type -> fields that the general rules do not get right."""
