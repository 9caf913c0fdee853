"""Removing patches in the pixels: filled with a colour, blurred, painted over."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..task import Batch, take

if TYPE_CHECKING:
    from ..image import ImageTask


_Other = Callable[[Any, Tensor, Tensor], Tensor]


class Filled:
    """Removed patches take the pixels of another picture.

    Args:
        name: of the operator.
        other: ``(task, pixels [n, 3, H, W], gone [n, 1, H, W] bool) -> pixels`` that broadcast to
            the given ones.
    """

    equal = False

    def __init__(self, name: str, other: _Other) -> None:
        self.name, self.other = name, other

    def lengths(self, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        return batch.lengths[samples]

    def logits(self, task: Any, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        pixels = take(batch, samples)["pixels"]
        hidden = gone[:, task.cells(pixels)][:, None]
        filled = torch.where(hidden, self.other(task, pixels, hidden), pixels)
        out: Tensor = task.logits({"pixels": filled})
        return out


def mean_colour(task: ImageTask, pixels: Tensor, gone: Tensor) -> Tensor:
    """Each picture's own mean colour, [n, 3, 1, 1]."""
    return pixels.mean((2, 3), keepdim=True)


def zeros(task: ImageTask, pixels: Tensor, gone: Tensor) -> Tensor:
    """Zero as the model takes it: the mean colour of its training pictures, for most models."""
    return pixels.new_zeros(1, 3, 1, 1)


def black(task: ImageTask, pixels: Tensor, gone: Tensor) -> Tensor:
    """Black, as the preprocessing maps it."""
    return task.image.preprocess.bounds[0].to(pixels)[None]


def blurred(task: ImageTask, pixels: Tensor, gone: Tensor) -> Tensor:
    """The picture under a Gaussian as wide as a patch (sigma: half a side, cut at two sides)."""
    down, right = task.image.cells.cell
    return _smooth(_smooth(pixels, down, -2), right, -1)


def _smooth(pixels: Tensor, side: int, dim: int) -> Tensor:
    radius = min(2 * side, pixels.shape[dim] - 1)
    at = torch.arange(-radius, radius + 1, device=pixels.device, dtype=pixels.dtype)
    kernel = torch.exp(-((at / max(side / 2, 0.5)) ** 2) / 2)
    shape = (-1, 1) if dim == -2 else (1, -1)
    weight = (kernel / kernel.sum()).reshape(1, 1, *shape).expand(pixels.shape[1], 1, -1, -1)
    edges = (0, 0, radius, radius) if dim == -2 else (radius, radius, 0, 0)
    return F.conv2d(F.pad(pixels, edges, mode="reflect"), weight, groups=pixels.shape[1])


def inpainted(task: ImageTask, pixels: Tensor, gone: Tensor) -> Tensor:
    """OpenCV's inpainting (Telea 2004) of what is removed from what is left."""
    cv2: Any = import_module("cv2")

    rows = []
    for picture, hidden in zip(pixels, gone, strict=True):
        shown = task.image.preprocess.view(picture)
        mask = hidden[0].cpu().numpy().astype("uint8")
        # with nothing left there is nothing to paint from
        painted = shown if mask.all() else cv2.inpaint(shown, mask, 3, cv2.INPAINT_TELEA)
        if mask.all():
            painted = painted * 0 + painted.mean((0, 1)).astype("uint8")
        order = list(task.image.preprocess.order)
        unit = torch.from_numpy(painted[..., order].copy()).permute(2, 0, 1).float() / 255
        low, high = task.image.preprocess.bounds
        rows.append(low + unit * (high - low))
    return torch.stack(rows).to(pixels)


def pixel_operators() -> tuple[dict[str, Filled], dict[str, str]]:
    """By name; inpainting only where OpenCV is installed."""
    made = {
        name: Filled(name, other)
        for name, other in (
            ("mean", mean_colour),
            ("blur", blurred),
            ("zero", zeros),
            ("black", black),
        )
    }
    refused = {}
    if _installed("cv2"):
        made["inpaint"] = Filled("inpaint", inpainted)
    else:
        refused["inpaint"] = "OpenCV is not installed: pip install opencv-python-headless"
    return made, refused


def _installed(name: str) -> bool:
    return find_spec(name) is not None
