"""What tells one sample from another, so that numbers of two sets of data never mix."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..explain.image.open import image_of_row

if TYPE_CHECKING:
    from .data import Given


def key_of(row: Given, image: bool) -> list[Any]:
    """Everything of a sample that a number depends on; random orders are drawn by its id.

    An image file is told by its path and size, without being read.
    """
    content: Any = row.content
    path = file_of(content) if image else None
    if row.fault is not None:
        return [row.id, row.fault]
    if path is not None:
        content = [path, _size(path)]
    elif isinstance(content, tuple | list):
        content = list(content)
    elif not isinstance(content, str):
        content = digest_of(content)
    return [row.id, content, row.label, None if row.mask is None else digest_of(row.mask)]


def file_of(content: Any) -> str | None:
    """The file that an image lies in; None: it is in memory."""
    if isinstance(content, Mapping):
        content = image_of_row(content)
    return os.fspath(content) if isinstance(content, str | os.PathLike) else None


def _size(path: str) -> int | None:
    try:
        return os.stat(os.path.expanduser(path)).st_size
    except (OSError, ValueError):  # whoever opens it says so
        return None


def digest_of(content: Any) -> str:
    """Of an image in memory, of a mask, or of any array."""
    if isinstance(content, Tensor):
        content = content.detach().cpu()
        content = (content.float() if content.is_floating_point() else content).numpy()
    if isinstance(content, bytes | bytearray):
        data = bytes(content)
    elif hasattr(content, "tobytes"):
        about = [getattr(content, name, None) for name in ("mode", "size", "shape", "dtype")]
        data = repr([str(part) for part in about]).encode() + content.tobytes()
    elif isinstance(content, Mapping):
        data = repr([(name, digest_of(part)) for name, part in content.items()]).encode()
    elif isinstance(content, list | tuple):  # the text of an array inside would be abridged
        data = repr([digest_of(part) for part in content]).encode()
    else:
        data = repr(content).encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()[:16]
