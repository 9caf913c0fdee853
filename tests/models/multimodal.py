"""What a tiny model with an image or a sound beside its text needs: fields and inputs.

Rules by the names of configuration fields and of the forward's arguments come first; what is left
is data by model type.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PretrainedConfig

from tests.models.multimodal_inputs import FRAMES, INPUTS, RULES, Inputs, canvas
from tests.models.multimodal_special import SPECIAL as SPECIAL

WIDTH = 32

PLACES = {"image": 90, "video": 91, "audio": 92}
"""What stands for -> the id that its places in the text have; ids of text stay below 80."""

ENDS = ("_token_id", "_token_index")
PLAIN = ("pad", "bos", "eos", "decoder_start", "mask", "cls", "sep")

SIZES: dict[str, Any] = {
    **dict.fromkeys(("out_hidden_size", "text_hidden_size", "audio_hidden_size"), WIDTH),
    **dict.fromkeys(("temporal_patch_size", "spatial_merge_size"), 2),
    "mm_tokens_per_image": 4,
}
"""Sizes by field name, beside those of the zoo."""


def fields(
    config: PretrainedConfig, values: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    """Fields that follow from others: ids of special tokens, sections of a rotary embedding."""
    found = _special_tokens(values)
    if (values.get("initializer_range") or 1) < 1e-3:  # 1e-10 leaves nothing to explain
        found["initializer_range"] = 0.02
    if "spatial_merge_size" in values and "window_size" in values:
        found["window_size"] = 16  # in pixels: one square of merged patches
    if hasattr(getattr(config, "audio_config", None), "max_source_positions"):
        found["audio_config"] = {**given["audio_config"], "max_source_positions": FRAMES // 2}
    text = getattr(config, "text_config", None)
    if text is not None and hasattr(getattr(config, "vision_config", None), "spatial_merge_size"):
        found["text_config"] = {**given.get("text_config", {}), **_sections(text, given)}
    return found


def _special_tokens(values: dict[str, Any]) -> dict[str, Any]:
    """Ids within the tiny vocabulary, above those of text: of places, and of what else is named."""
    found: dict[str, Any] = {}
    other = 89
    for name, value in values.items():
        stem = next((name.removesuffix(end) for end in ENDS if name.endswith(end)), None)
        if stem is None or stem in PLAIN:
            continue
        if stem in PLACES:  # set also where the default is None
            found[name] = PLACES[stem]
        elif isinstance(value, int):
            found[name] = other
            other -= 1
    return found


def _sections(text: PretrainedConfig, given: dict[str, Any]) -> dict[str, Any]:
    """Shares of time, height and width in a rotary embedding; they sum to half its width."""
    rope = getattr(text, "rope_parameters", None)
    if not isinstance(rope, dict) or not rope:
        return {}
    width = given.get("text_config", {}).get("head_dim", 8)
    half = int(width * rope.get("partial_rotary_factor", 1.0)) // 2
    part = half // 3
    return {"rope_parameters": {**rope, "mrope_section": [part, part, half - 2 * part]}}


NO_TEXT = {"pp_formulanet"}
"""Model types whose forward takes ``input_ids`` but reads none beside ``decoder_input_ids``."""


def inputs(model: nn.Module, given: Inputs) -> Inputs:
    """The zoo's inputs with the images and the places for them that ``model`` asks for."""
    config: Any = model.config
    taken = inspect.signature(model.forward).parameters
    given = dict(given)
    makes = [make for name, make in RULES.items() if name in taken]
    if config.model_type in INPUTS:
        makes.append(INPUTS[config.model_type])
    if "decoder_input_ids" in taken and "input_ids" not in taken:
        given["decoder_input_ids"] = 3 + torch.arange(16).view(2, 8)
    if config.model_type in NO_TEXT:
        given = {k: v for k, v in given.items() if k not in ("input_ids", "attention_mask")}
    for make in makes:
        given.update({k: v for k, v in make(config, given).items() if k in taken or make is canvas})
    return _placed(model, given)


class _AskedError(Exception):
    """The number of rows of features, in all samples."""


class _Probe(TorchFunctionMode):
    """Stops where features are put into their places and tells how many there are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.masked_scatter:
            into, _, source = args
            raise _AskedError(source.numel() // into.shape[-1])
        return func(*args, **(kwargs or {}))


@contextmanager
def _unchecked() -> Iterator[None]:
    """Without the models' own checks that there are as many places as features."""
    name = "TRANSFORMERS_DISABLE_TORCH_CHECK"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def asked(model: nn.Module, given: Inputs) -> int:
    """How many places a sample must have for its features, as the model's own forward says."""
    try:
        with torch.no_grad(), _unchecked(), _Probe():
            model(**given)
    except _AskedError as e:
        return int(e.args[0]) // given["input_ids"].shape[0]
    except ValueError as e:
        said = re.search(r"features:? (\d+)", str(e))
        if said is None:
            raise
        return int(said[1]) // given["input_ids"].shape[0]
    return 0


def _placed(model: nn.Module, given: Inputs) -> Inputs:
    config: Any = model.config
    kind = next((k for k, names in CARRIERS.items() if names & set(given)), None)
    if kind is None or "input_ids" not in given or not _has_place(config.to_dict(), kind):
        return given
    start = getattr(config, "vision_start_token_id", None)
    if start is not None:
        given["input_ids"][:, 1] = start
    n = PLACED.get(config.model_type) or asked(model, _with_places(given, kind, 4))
    return _with_places(given, kind, n) if n else given


PLACED = {"pi0": 16, "phi4_multimodal": 13, "musicflamingo": 16, "granite4_vision": 10}
"""model type -> places of those that do not say how many they ask for."""

CARRIERS = {
    "image": {"pixel_values", "pixel_values_videos", "image_pixel_values"},
    "audio": {"input_features"},
}
"""What stands for -> the inputs that hold it."""


def _has_place(fields: Any, kind: str) -> bool:
    if isinstance(fields, dict):
        return any(_has_place(value, kind) for value in fields.values())
    return not isinstance(fields, bool) and fields == PLACES[kind]


def _with_places(given: Inputs, kind: str, n: int) -> Inputs:
    """``n`` places after the second token, in everything that has one entry a token."""
    ids = given["input_ids"]
    batch, before = ids.shape
    rows = torch.full((batch, n), PLACES[kind], dtype=ids.dtype)
    ids = torch.cat([ids[:, :2], rows, ids[:, 2:]], dim=1)
    found = dict(given)
    for name, value in given.items():
        if value.shape[:2] == (batch, before) and name not in ("decoder_input_ids", *_ALL):
            found[name] = torch.cat(
                [value[:, :2], value[:, 1:2].repeat_interleave(n, 1), value[:, 2:]], 1
            )
    found["input_ids"] = ids
    if "mm_token_type_ids" in given:
        found["mm_token_type_ids"] = (ids == PLACES[kind]).long()
    return found


_ALL = set().union(*CARRIERS.values())
