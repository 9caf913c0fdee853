"""Whatever a person has for an image, as the pixels that a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...errors import InputError
from ...numerics import upcast
from .model import ImageModel
from .open import image_of_row, open_image


@dataclass(frozen=True)
class Prepared:
    """One image, ready for a model.

    Attributes:
        pixels: [3, height, width], on the CPU.
        size: height and width of what was given.
        made: whether the pixels were given as they are, made by a preprocessing already.
        name, notes: see :class:`Opened`.
    """

    pixels: Tensor
    size: tuple[int, int]
    made: bool = False
    name: str = ""
    notes: tuple[str, ...] = ()


def prepare(loaded: ImageModel, given: Any) -> Prepared:
    """What :func:`open_image` takes, as the model's preprocessing makes it.

    A float *tensor* [3, H, W] is taken as pixels that it has made already.

    Raises:
        InputError: an image that cannot be read, or a float tensor of another shape.
    """
    found = image_of_row(given) if isinstance(given, Mapping) else given
    if isinstance(found, Tensor) and found.is_floating_point():
        if found.dim() != 3 or found.shape[0] != 3:
            raise InputError(
                "a float tensor is one image as the model takes it, [3, H, W], got shape "
                f"{tuple(found.shape)}"
            )
        pixels = upcast(found.detach().cpu())
        return Prepared(pixels, (pixels.shape[1], pixels.shape[2]), made=True)
    opened = open_image(given)
    width, height = opened.image.size
    pixels = loaded.preprocess(opened.image)
    return Prepared(pixels, (height, width), name=opened.name, notes=opened.notes)
