"""The inputs of tiny models that read images or sounds beside text, by argument or model type.

Images are 32 x 32 in 4 x 4 patches of 8 x 8; a sound is a spectrogram of 64 frames.  What depends
on a layout is one function here; how many places the text must have for it is found elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SIDE, FRAMES = 32, 64

Inputs = dict[str, Tensor]
Make = Callable[[Any, Inputs], Inputs]


def noise(*shape: int) -> Tensor:
    """Reproducible standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def _first(part: Any, names: str, default: Any = None) -> Any:
    """The first of the fields that is set."""
    found = (getattr(part, name, None) for name in names.split())
    return next((value for value in found if value is not None), default)


def _side(value: Any) -> int:
    return int(value[0] if isinstance(value, (list, tuple)) else value)


def _part(config: Any) -> Any:
    return getattr(config, "vision_config", None) or config


def _batch(given: Inputs) -> int:
    return next(iter(given.values())).shape[0]


def grid(config: Any, given: Inputs) -> Inputs:
    """Images cut into 4 x 4 patches, one row each, with the grid that says so."""
    part, batch = _part(config), _batch(given)
    size = _side(part.patch_size)
    width = _first(part, "in_channels in_chans num_channels", 3) * size**2
    width *= _first(part, "temporal_patch_size patch_temporal", 1)
    return {
        "pixel_values": noise(batch * 16, width),
        "image_grid_thw": torch.tensor([[1, 4, 4]] * batch),
        "image_merge_sizes": torch.tensor([2] * batch),
    }


def squares(config: Any, given: Inputs) -> Inputs:
    """4 x 4 patches of an image, each a small image."""
    size = _side(_part(config).patch_size)
    return {"pixel_values": noise(_batch(given) * 16, 3, size, size)}


def rows(config: Any, given: Inputs) -> Inputs:
    """4 x 4 patches of an image on an axis of their own, with their shape and places."""
    batch, size = _batch(given), _side(_first(_part(config), "model_patch_size patch_size"))
    places = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    return {
        "pixel_values": noise(batch, 16, 3 * size**2),
        "pixel_attention_mask": torch.ones(batch, 16, dtype=torch.long),
        "spatial_shapes": torch.tensor([[4, 4]] * batch),
        "image_position_ids": places.expand(batch, 16, 2),
    }


def flattened(config: Any, given: Inputs) -> Inputs:
    """Patches with their row and column before them."""
    batch, part = _batch(given), _part(config)
    width = _first(part, "patch_embed_hidden_size", 768)
    places = 1 + torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))
    patches = torch.cat([places.expand(batch, 16, 2), noise(batch, 16, width)], dim=-1)
    return {"flattened_patches": patches}


def sizes(config: Any, given: Inputs) -> Inputs:
    """Height and width of each image."""
    if config.model_type == "llava":  # asks for them where its tower is a Pixtral only
        return {}
    images = given.get("pixel_values", noise(_batch(given), 3, SIDE, SIDE))
    return {"pixel_values": images, "image_sizes": torch.tensor([[SIDE, SIDE]] * len(images))}


def several(config: Any, given: Inputs) -> Inputs:
    """One image a sample on an axis of its own."""
    images = given["pixel_values"][:, None]
    batch = len(images)
    return {
        "pixel_values": images,
        "pixel_attention_mask": torch.ones(batch, 1, *images.shape[-2:], dtype=torch.long),
        "image_attention_mask": torch.ones(batch, given["input_ids"].shape[1], 1),
    }


def tiles(config: Any, given: Inputs) -> Inputs:
    """An image and what it is cut into (here itself) on an axis of their own."""
    return {"pixel_values": given["pixel_values"][:, None].repeat(1, 2, 1, 1, 1)}


def marked_tiles(config: Any, given: Inputs) -> Inputs:
    """Tiles with a mask that says which are there."""
    found = tiles(config, given)["pixel_values"]
    return {"pixel_values": found, "pixel_attention_mask": torch.ones(found.shape[:2]).bool()}


def cross(config: Any, given: Inputs) -> Inputs:
    """One image a sample in two tiles, and who sees it."""
    images = given["pixel_values"][:, None, None].repeat(1, 1, 2, 1, 1, 1)
    batch, n = given["input_ids"].shape
    return {
        "pixel_values": images,
        "aspect_ratio_ids": torch.full((batch, 1), 2),
        "aspect_ratio_mask": torch.ones(batch, 1, 2, dtype=torch.long),
        "cross_attention_mask": torch.ones(batch, n, 1, 2, dtype=torch.long),
    }


def boxes(config: Any, given: Inputs) -> Inputs:
    """Every word fills its page, of side 1: whole numbers, as nothing is to be explained here."""
    return {"bbox": torch.tensor([0, 0, 1, 1]).expand(*given["input_ids"].shape, 4)}


def positions(config: Any, given: Inputs) -> Inputs:
    """Which tokens stand for the image: the first four."""
    places = torch.zeros_like(given["input_ids"])
    places[:, :4] = 1
    return {"image_embeds_position_mask": places}


def questions(config: Any, given: Inputs) -> Inputs:
    """The text once more, for the query transformer."""
    ids = given["input_ids"].clone()
    return {"qformer_input_ids": ids, "qformer_attention_mask": torch.ones_like(ids)}


def frames(config: Any, given: Inputs) -> Inputs:
    """Two frames on an axis of their own."""
    return {"pixel_values": given["pixel_values"][:, None].repeat(1, 2, 1, 1, 1)}


def finer(config: Any, given: Inputs) -> Inputs:
    """The image once more, in the resolution of the second tower."""
    side = _side(config.high_res_vision_config.image_size)
    return {"high_res_pixel_values": noise(_batch(given), 3, side, side)}


def types(config: Any, given: Inputs) -> Inputs:
    """Which tokens are text."""
    return {"mm_token_type_ids": torch.zeros_like(given["input_ids"])}


def robot(config: Any, given: Inputs) -> Inputs:
    """The state of a robot, and where its denoising starts."""
    batch = _batch(given)
    return {
        "state": noise(batch, config.max_state_dim),
        "noise": noise(batch, config.chunk_size, config.max_action_dim),
        "timestep": torch.full((batch,), 0.5),
        "pixel_values": given["pixel_values"][:, None],
        "pixel_attention_mask": torch.ones(batch, 1).bool(),
    }


def strip(config: Any, given: Inputs) -> Inputs:
    """All images as one strip of patches, with their grids."""
    batch, size = _batch(given), _side(_part(config).patch_size)
    return {
        "pixel_values": noise(1, 3, size, batch * 16 * size),
        "target_sizes": torch.tensor([[4, 4]] * batch, dtype=torch.int32),
    }


def pooled(config: Any, given: Inputs) -> Inputs:
    """One crop an image, whose patches are pooled four to a token."""
    batch, size = _batch(given), _side(_part(config).patch_size)
    return {
        "pixel_values": noise(batch, 16, 3 * size**2),
        "image_token_pooling": torch.arange(batch * 16).view(batch * 4, 4),
        "image_grids": torch.tensor([[2, 2, 0, 0]] * batch),
        "image_num_crops": torch.ones(batch, dtype=torch.long),
    }


def flat(config: Any, given: Inputs) -> Inputs:
    """4 x 4 patches, one row each, and the two sides of the grid."""
    found = grid(config, given)
    return {"pixel_values": found["pixel_values"], "image_grid_hw": found["image_grid_thw"][:, 1:]}


def folded(config: Any, given: Inputs) -> Inputs:
    """Four patches an image, each two frames with colours last."""
    part = _part(config)
    size, frames = part.patch_size, part.temporal_patch_size
    return {"pixel_values": noise(_batch(given) * 4, frames, size, size, 3)}


def video(config: Any, given: Inputs) -> Inputs:
    """Two frames a sample."""
    return {"pixel_values_videos": noise(_batch(given), 2, 3, SIDE, SIDE)}


def sounds(config: Any, given: Inputs) -> Inputs:
    """A spectrogram a sample [batch, bins, frames], all of it heard, where there is no image."""
    part = getattr(config, "audio_config", None)
    bins = _first(part, "num_mel_bins feature_size input_size")
    if bins is None or "pixel_values" in given:
        return {}
    batch, frames = _batch(given), 2 * _first(part, "n_window", FRAMES // 2)
    heard = torch.ones(batch, frames, dtype=torch.long)
    names = ("input_features_mask", "feature_attention_mask")
    return {"input_features": noise(batch, bins, frames), **dict.fromkeys(names, heard)}


def transcribed(config: Any, given: Inputs) -> Inputs:
    """A spectrogram a sample with frames first."""
    batch, bins = _batch(given), config.audio_config.asr_config.num_mel_bins
    heard = torch.ones(batch, FRAMES, dtype=torch.long)
    return {"input_features": noise(batch, FRAMES, bins), "input_features_mask": heard}


def protein(config: Any, given: Inputs) -> Inputs:
    """Eight residues a sample."""
    ids = 4 + torch.arange(_batch(given) * 8).view(-1, 8)
    return {"protein_input_ids": ids, "protein_attention_mask": torch.ones_like(ids)}


def cropped(config: Any, given: Inputs) -> Inputs:
    """The whole image and its one crop."""
    batch = _batch(given)
    return {
        "image_pixel_values": noise(batch, 2, 3, SIDE, SIDE),
        "image_sizes": torch.tensor([[SIDE, SIDE]] * batch),
        "image_attention_mask": torch.ones(batch, 2, 4, 4, dtype=torch.long),
    }


def canvas(config: Any, given: Inputs) -> Inputs:
    """An image as rows of patches, and the text to be made out of noise."""
    found = rows(config, given)
    start = given["input_ids"].flip(1).contiguous()
    return {k: found[k] for k in ("pixel_values", "image_position_ids")} | {
        "decoder_input_ids": start
    }


def merged(config: Any, given: Inputs) -> Inputs:
    """2 x 2 squares an image, each of 2 x 2 patches, with colours last."""
    batch, size = _batch(given), 2 * _side(_part(config).patch_size)
    return {
        "pixel_values": noise(batch * 4, size, size, 3),
        "image_grid_thw": torch.tensor([[1, 2, 2]] * batch),
    }


RULES: dict[str, Make] = {
    "image_grid_thw": grid,
    "image_sizes": sizes,
    "spatial_shapes": rows,
    "image_position_ids": rows,
    "target_sizes": strip,
    "input_features": sounds,
    "protein_input_ids": protein,
    "image_grid_hw": flat,
    "image_token_pooling": pooled,
    "flattened_patches": flattened,
    "high_res_pixel_values": finer,
    "qformer_input_ids": questions,
    "image_embeds_position_mask": positions,
    "mm_token_type_ids": types,
}
"""argument -> what makes it, and what goes with it."""

INPUTS: dict[str, Make] = {
    **dict.fromkeys(
        ("idefics", "idefics2", "idefics3", "smolvlm", "modernvbert", "ultravbert"), several
    ),
    **dict.fromkeys(
        ("llava_next", "llava_next_video", "llava_onevision", "granite4_vision"), tiles
    ),
    **dict.fromkeys(("kimi_k25", "paddleocr_vl"), squares),
    "granite_docling": marked_tiles,
    "fuyu": rows,
    "neomme": grid,
    "diffusion_gemma": canvas,
    "nemo_speechlm": transcribed,
    "phi4_multimodal": cropped,
    "inkling2": merged,
    "inkling_mm_model": folded,
    "videoprism": video,
    "instructblipvideo": frames,
    "mllama": cross,
    "pi0": robot,
    "udop": boxes,
}
"""model type -> what its inputs need beyond the rules."""
