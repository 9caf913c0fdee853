"""Whether samples are texts or images: by what they are, never by which files are there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal

from ..errors import InputError
from ..explain.image.folders import has_image_suffix, is_image_file
from ..explain.image.open import is_image_like

Kind = Literal["text", "image"]

IMAGE_COLUMNS = ("image", "img")
"""What such a column holds are images, paths of files among them."""


def kind_of(content: Any) -> Kind | Literal["name"]:
    """A string that ends as an image file does is one if it exists; else ``"name"``: it may be.

    Raises:
        InputError: it is no text, no image, and no pair of texts.
    """
    if isinstance(content, str):
        if not has_image_suffix(content):
            return "text"
        return "image" if is_image_file(os.path.expanduser(content)) else "name"
    if isinstance(content, tuple | list) and all(isinstance(part, str) for part in content):
        return "text"
    if is_image_like(content):
        return "image"
    raise InputError(f"expected a text or an image, got {type(content).__name__}")


def together(kinds: Iterable[str]) -> Kind | None:
    """What all samples are: mere names are texts among texts, else images; None: both."""
    found = {*kinds}
    if {"text", "image"} <= found:
        return None
    return "text" if "text" in found else "image"


def mostly(kinds: Iterable[str]) -> Kind:
    """What the samples of a table's column are, if some of them are out of place."""
    found = [*kinds]
    return together(found) or ("text" if 2 * found.count("text") > len(found) else "image")
