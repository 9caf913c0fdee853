"""Whether a model reads its padding in spite of the mask: then another prediction is explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def same_predictions(padded: Any, alone: Any) -> bool:
    """Whether one row, padded on the right, gives the outputs that it gives alone.

    Args:
        padded: the model's output for the padded row.
        alone: its output for the row without padding.
    """
    pairs = [*zip(_predictions(padded), _predictions(alone), strict=True)]
    return all(_same(long, short) for long, short in pairs)


def reached(gradient: Any, lengths: Mapping[str, list[int]]) -> bool:
    """Whether a score's gradient reaches padding: what stands there would change the score.

    The relevance at padding would not tell, since it is 0 wherever padding embeds as zeros.

    Args:
        gradient: [rows, tokens, width], or several of these by the input's name.
        lengths: by the input's name, how many tokens of each row are real.
    """
    parts = gradient if isinstance(gradient, Mapping) else dict.fromkeys(lengths, gradient)
    return any(
        bool(own[length:].any())
        for name, real in lengths.items()
        for own, length in zip(parts[name], real, strict=True)
    )


def _predictions(output: Any) -> list[Tensor]:
    if isinstance(output, Mapping):
        return [v for k, v in output.items() if "logits" in k and isinstance(v, Tensor)]
    first = output[0] if isinstance(output, tuple | list) and output else output
    return [first] if isinstance(first, Tensor) else []


def _same(padded: Tensor, alone: Tensor) -> bool:
    if padded.dim() != alone.dim():
        return False
    for dim, (long, short) in enumerate(zip(padded.shape, alone.shape, strict=True)):
        if long < short:
            return False
        padded = padded.narrow(dim, 0, short)
    # kernels round otherwise for other lengths; what a leak changes less than that, the gradient
    # at padding still tells
    tolerance = torch.finfo(alone.dtype).eps ** 0.5 if alone.is_floating_point() else 0.0
    scale = float(alone.abs().max()) if alone.numel() else 0.0
    return bool(((padded - alone).abs() <= tolerance * scale).all())
