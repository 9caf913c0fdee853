"""Occlusion: what the score loses when a part of the input is covered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..attribution import Attribution
from ..errors import InputError
from .samples import Samples, check_count


def occlusion(
    model: Any,
    inputs: Any,
    target: Any = None,
    *,
    window: int | Sequence[int] = 1,
    stride: int | Sequence[int] | None = None,
    fill: float | Tensor = 0.0,
    batch_size: int = 16,
) -> Attribution:
    """The score's loss when a window slides over the input: score(x) - score(x without it).

    Covered are the last dimensions of the input: for ``window=(8, 8)`` of an image [batch, C, H, W]
    all channels of 8 x 8 pixels; for one number of tokens' embeddings [batch, tokens, width] whole
    tokens; of features [batch, n] single ones.  Where windows overlap their losses are averaged.
    captum's ``Occlusion`` does the work.

    Args:
        model, inputs, target: as for :func:`lxt.attribute`; token ids are covered at their
            embeddings.  A predicted class is that of the clean input.
        window: its size over the last spatial dimensions; stride: its step, by default its size.
        fill: what covers: a number, or a tensor that broadcasts to one sample.
        batch_size: windows in one forward.

    Returns:
        ``relevance`` in the input's shape, the same for all that one window covers together
        (per token for token ids); ``gradient`` is None.

    Source: Zeiler and Fergus 2014, arXiv:1311.2901.
    """
    check_count("batch_size", batch_size)
    try:
        from captum.attr import Occlusion
    except ImportError as e:
        raise InputError("occlusion needs captum: pip install captum") from e
    given = Samples(model, inputs, target, "gradient", False)
    if len(given.names) != 1:
        raise InputError(f"occlusion covers one input, got {', '.join(given.names)}")
    name = given.names[0]
    x = given.inputs[name].detach()
    sizes = _shape("window", window, x)
    steps = sizes if stride is None else _shape("stride", stride, x)
    if any(step > size < n for step, size, n in zip(steps, sizes, x.shape[1:], strict=True)):
        raise InputError(
            f"a stride of {stride} leaves gaps between windows of {window}, which nothing would "
            "cover; give a stride that is at most the window"
        )
    parts = []
    for i in range(len(given)):

        def score(changed: Tensor, i: int = i) -> Tensor:
            return given.score(i, {name: changed})

        found = Occlusion(score).attribute(
            x[i : i + 1],
            sliding_window_shapes=sizes,
            strides=steps,
            baselines=fill.expand(x[:1].shape) if isinstance(fill, Tensor) else fill,
            perturbations_per_eval=batch_size,
        )
        parts.append(found.detach())
    relevance = torch.cat(parts)
    # the same for all of a token's embedding
    return given.result({name: relevance[..., :1] if given.tokens else relevance}, None)


def _shape(what: str, given: int | Sequence[int], x: Tensor) -> tuple[int, ...]:
    """The window over one sample: whole channels of images, whole embeddings of tokens."""
    many = given if isinstance(given, Iterable) else (given,)
    for size in many:
        check_count(what, size)
    sizes = tuple(int(size) for size in many)
    space = {2: 1, 3: 1}.get(x.dim(), x.dim() - 2)
    if len(sizes) == 1:
        sizes = sizes * space
    if len(sizes) != space:
        raise InputError(
            f"{what} has {space} numbers for an input of shape {tuple(x.shape)}, got {sizes}"
        )
    at = {2: x.shape[1:], 3: x.shape[1:2]}.get(x.dim(), x.shape[2:])
    if any(size > n for size, n in zip(sizes, at, strict=True)):
        raise InputError(f"{what} {sizes} is larger than the input {tuple(x.shape)}")
    if x.dim() == 2:
        return sizes
    return (*sizes, x.shape[2]) if x.dim() == 3 else (x.shape[1], *sizes)
