"""What a model writes by itself: the likeliest token, again and again."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch

from ...errors import InputError, ModelError
from ..batches import Runner
from ..encode import Encoding
from ..rows import Row

_GREEDY: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "return_dict_in_generate": False,
    "output_scores": False,
    "output_logits": False,
    "output_attentions": False,
    "output_hidden_states": False,
    # of sampling and beams: as they are by default, or a warning says that they have no effect
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "min_p": None,
    "early_stopping": False,
    "length_penalty": 1.0,
}


def generated(runner: Runner, read: Encoding, most: int) -> list[int]:
    """Ids of the tokens that the model writes behind what it has ``read``, at most ``most``.

    By its own ``generate`` and a copy of its own generation config (what it forces, suppresses or
    does not repeat), without sampling and beams.  The token that ends the output is left out.

    Raises:
        ModelError: the model cannot generate.
        InputError: it ends the output before its first token.
    """
    model: Any = runner.model
    own = getattr(model, "generation_config", None)
    if own is None or not callable(getattr(model, "generate", None)):
        raise ModelError(
            f"{type(model).__name__} has no generate() and generation_config as models of "
            "transformers have: give the output to explain, output="
        )
    config = deepcopy(own)
    ends = {*_many(config.eos_token_id), *_many(config.forced_eos_token_id)}
    inputs = runner.inputs([Row(0, read, list(range(len(read))))])
    first = inputs["input_ids" if read.decoder is None else "decoder_input_ids"].shape[1]
    for name, value in _GREEDY.items():
        setattr(config, name, value)
    if config.max_new_tokens is None:  # what is None is filled in from the model's own
        config.max_length = first + most
    else:
        config.max_new_tokens = most
    if config.pad_token_id is None:  # never used: there is one row
        config.pad_token_id = runner.pad_id
    try:
        with torch.no_grad():
            made = model.generate(**inputs, generation_config=config)
    except (ValueError, TypeError, RuntimeError, NotImplementedError, AttributeError) as error:
        raise ModelError(
            f"{type(model).__name__} does not generate: {error}; give the output to explain, "
            "output="
        ) from error
    ids = [int(i) for i in made[0].tolist()][first:]
    if ids and ids[-1] in ends:
        ids.pop()
    if not ids:
        raise InputError(
            "the model ends its output before the first token: give another prompt, or the output "
            "to explain, output="
        )
    return ids


def _many(ids: int | list[int] | None) -> list[int]:
    return ids if isinstance(ids, list) else [] if ids is None else [ids]
