"""A model's output: the logits in it that a target is about, and at which position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from .classes import plain
from .errors import InputError, TargetError


def sequence_logits(output: Any) -> Tensor:
    """The logits [batch, tokens, classes] in a model's output."""
    logits = _field(output)
    if logits.dim() != 3:
        raise InputError(
            "expected logits for every token, [batch, tokens, classes], got shape "
            f"{tuple(logits.shape)}: this model has no tokens to choose from"
        )
    return logits


def at_positions(logits: Tensor, at: Any) -> Tensor:
    """Of ``logits`` [batch, tokens, classes] those at one position, or at one per sample.

    Raises:
        TargetError: a position is no whole number, or there is no such token.
    """
    batch, length = logits.shape[:2]
    given: Any = at.tolist() if isinstance(at, Tensor) else plain(at)
    several = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    places: list[Any] = list(given) if several else [given] * batch
    for place in places:
        if isinstance(place, bool) or not isinstance(place, Integral):
            raise TargetError(
                f"expected a token's position, a whole number, or one for each sample, got {at!r}"
            )
    if len(places) != batch:
        raise TargetError(f"got {len(places)} positions for a batch of {batch}")
    for place in places:
        if not -length <= place < length:
            raise TargetError(f"position {place} is out of range: there are {length} tokens")
    rows = torch.arange(batch, device=logits.device)
    return logits[rows, torch.tensor(places, device=logits.device) % length]


def logits_of(output: Any, inputs: Mapping[str, Any]) -> Tensor:
    """The logits [batch, classes] in a model's output.

    A language model's [batch, tokens, vocabulary] is read at the last real position, whichever
    side is padded; [batch] becomes [batch, 1].
    """
    logits = _field(output)
    if logits.dim() == 1:
        return logits[:, None]
    if logits.dim() == 3:
        return _last_position(logits, inputs, _mask(output, inputs, logits.shape[1]))
    if logits.dim() != 2:
        raise InputError(
            f"expected logits of shape [batch, classes] or [batch, tokens, classes], got "
            f"{tuple(logits.shape)}; say what to explain by lxt.targets.Output(f), a function of "
            "the whole output that returns one score per sample"
        )
    return logits


def is_flat(output: Any) -> bool:
    """Whether the logits have a single axis: of samples, or of classes without a batch."""
    return _field(output).dim() == 1


def _field(output: Any) -> Tensor:
    logits = output
    if isinstance(output, Mapping):
        logits = output.get("logits")
        if logits is None:
            raise InputError(
                f"the model's output has no logits, only {', '.join(map(str, output))}; "
                "explain a model with a head, or wrap it so that it returns one tensor"
            )
    elif isinstance(output, (tuple, list)) and output:
        logits = output[0]
    if not isinstance(logits, Tensor):
        raise InputError(f"expected the model to return logits, got {type(output).__name__}")
    return logits


def _mask(output: Any, inputs: Mapping[str, Any], length: int) -> Any:
    """The mask of the tokens that the logits are about."""
    if "decoder_input_ids" in inputs or "decoder_inputs_embeds" in inputs:
        return inputs.get("decoder_attention_mask")
    mask = inputs.get("attention_mask")
    if isinstance(output, Mapping) and "encoder_last_hidden_state" in output:
        labels = inputs.get("labels")
        if isinstance(labels, Tensor) and labels.dim() == 2 and labels.shape[1] == length:
            return labels >= 0  # the decoder reads them, one place later; -100 is none
        # the encoder's mask, which fits a decoder that reads the same tokens
        return mask if isinstance(mask, Tensor) and mask.shape[-1] == length else None
    return mask


def _last_position(logits: Tensor, inputs: Mapping[str, Any], mask: Any) -> Tensor:
    """Of ``logits`` [batch, positions, classes] each sample's at its last real token.

    Positions are counted from the end: where there are more of them than tokens in the mask, the
    model has put its own in front (a tuned prompt); where there are fewer, it kept the last ones.
    """
    batch, length = logits.shape[:2]
    if not (isinstance(mask, Tensor) and mask.dim() == 2 and len(mask) == batch):
        return logits[:, -1]
    tokens = mask.shape[1]
    at = torch.arange(tokens, device=mask.device)
    last = torch.where(mask > 0, at, -1).amax(-1).clamp_min(0)
    places = last + (length - tokens)
    if length < tokens and bool((last < tokens - 1).any()):
        kept = _kept(inputs, length, tokens)
        found = torch.tensor(kept, device=mask.device) == last[:, None]
        if not (kept and bool(found.any(-1).all())):
            raise InputError(
                f"the model gives logits for {length} positions of {tokens} tokens, and for "
                "samples that are padded at the end it cannot be told which position is their last "
                "token's; pad at the front, explain them one by one, or say which it is by "
                "lxt.targets.Token(at)"
            )
        places = found.to(torch.uint8).argmax(-1)
    return logits[torch.arange(batch, device=logits.device), places.to(logits.device)]


def _kept(inputs: Mapping[str, Any], length: int, tokens: int) -> list[int]:
    """The tokens whose logits the model was asked to keep, if that is what there are."""
    keep = next((inputs[k] for k in ("logits_to_keep", "num_logits_to_keep") if k in inputs), None)
    if isinstance(keep, Tensor) and keep.dim() == 1:
        keep = (keep % tokens).tolist()
    elif isinstance(keep, Integral):
        keep = list(range(tokens - int(keep), tokens))
    return keep if isinstance(keep, list) and len(keep) == length else []
