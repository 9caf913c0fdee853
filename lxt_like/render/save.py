"""Saving by suffix, and loading what was saved as JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..explanation import Explained, TextData
from .figure import FORMATS, figure_bytes
from .files import suffix_of, write
from .html import to_html
from .json import from_json, to_json
from .latex import to_latex
from .layout import as_list

SUFFIXES = (".html", *FORMATS, ".tex", ".json")
"""Of explained texts."""

PICTURE_SUFFIXES = (".html", *FORMATS, ".json")
"""Of explained images and generated texts."""


def save(
    data: Explained | Sequence[Explained],
    path: str | os.PathLike[str],
    view: str | None = None,
) -> None:
    """Write one explanation or several in the format that the suffix of ``path`` names.

    ``.html`` ``.png`` ``.pdf`` ``.svg`` ``.tex`` ``.json``; any other is an InputError that lists
    these.  Images and generated texts cannot be ``.tex``; ``view`` is which picture of an image is
    shown.  The file is written whole or not at all; its folder must exist (RenderError).
    """
    texts = all(isinstance(item, TextData) for item in as_list(data))
    suffix = suffix_of(path, SUFFIXES if texts else PICTURE_SUFFIXES)
    content: str | bytes
    if suffix == ".html":
        content = to_html(data, view=view)
    elif suffix == ".tex":
        content = to_latex(data)
    elif suffix == ".json":
        content = to_json(data)
    else:
        content = figure_bytes(data, suffix, view=view)
    write(path, content)


def load(path: str | os.PathLike[str]) -> Explained | list[Explained]:
    """What :func:`save` wrote to a ``.json`` file; InputError if it is anything else."""
    suffix_of(path, (".json",))
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # Windows programs put a mark in front
    except UnicodeDecodeError as error:
        raise InputError(f"{os.fspath(path)!r} is not a UTF-8 text file") from error
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(path)!r}: {error.strerror}") from error
    try:
        return from_json(text)
    except InputError as error:
        raise InputError(f"{os.fspath(path)!r}: {error}") from error
