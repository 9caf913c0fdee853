"""Folders of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from .open import SUFFIXES


@dataclass(frozen=True, slots=True)
class Found:
    """An image file: its path from the folder, where it is, its class, and its bytes if known."""

    id: str
    path: str
    label: str | None
    size: int | None


def has_image_suffix(name: str | os.PathLike[str]) -> bool:
    """Whether a name ends as an image file's does."""
    return os.path.splitext(os.fspath(name))[1].lower() in SUFFIXES


def is_image_file(name: str | os.PathLike[str]) -> bool:
    """Whether there is a file of this name, and it ends as an image's does."""
    return has_image_suffix(name) and os.path.isfile(name)  # False for a text that is no path


def folder_of_images(folder: Path) -> list[Found]:
    """All images of a folder, by name; the first sub-folder an image lies in is its class.

    Hidden files are left out; what an image is, its suffix says.

    Raises:
        InputError: there is none, with what there is instead; or a folder cannot be read.
    """
    found = sorted(_walk(folder, folder), key=lambda f: f.id)
    if found:
        return found
    shown = (p for p in folder.rglob("[!.]*") if p.is_file())
    others = sorted({p.suffix or p.name for p in shown})
    there = f"only files of {', '.join(others[:5])}" if others else "nothing"
    raise InputError(
        f"no images in {str(folder)!r}, {there}; images end in {', '.join(SUFFIXES[:5])} "
        "and the like"
    )


def _walk(folder: Path, root: Path) -> Iterator[Found]:
    try:
        entries = [*os.scandir(folder)]
    except OSError as error:
        raise InputError(f"cannot read the folder {str(folder)!r}: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if entry.is_dir():
            yield from _walk(path, root)
        elif has_image_suffix(path):
            inner = path.relative_to(root)
            label = inner.parts[0] if len(inner.parts) > 1 else None
            yield Found(inner.as_posix(), str(path), label, _size(entry))


def _size(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat().st_size
    except OSError:  # a link to nowhere: who opens it says so
        return None
