"""Samples on disk: folders of images, and files of texts."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..explain.image.open import SUFFIXES


@dataclass(frozen=True, slots=True)
class Found:
    """An image file: its path from the folder, where it is, its class, and its size in bytes."""

    id: str
    path: str
    label: str | None
    size: int | None


def is_image_file(path: Path) -> bool:
    """Whether a path names an existing file as an image."""
    try:
        return path.suffix.lower() in SUFFIXES and path.is_file()
    except OSError:  # a long text is no path
        return False


def folder_of_images(folder: Path) -> list[Found]:
    """All images of a folder, by name; the first sub-folder an image lies in is its class.

    Hidden files are left out; what an image is, its suffix says.

    Raises:
        InputError: there is none, with what there is instead.
    """
    found = sorted(_walk(folder, folder), key=lambda f: f.id)
    if found:
        return found
    others = sorted({p.suffix or p.name for p in folder.rglob("*") if p.is_file()})
    there = f"only files of {', '.join(others[:5])}" if others else "nothing"
    raise InputError(
        f"no images in {str(folder)!r}, {there}; images end in {', '.join(SUFFIXES[:5])} "
        "and the like"
    )


def _walk(folder: Path, root: Path) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            if entry.is_dir():
                yield from _walk(path, root)
            elif path.suffix.lower() in SUFFIXES:
                inner = path.relative_to(root)
                label = inner.parts[0] if len(inner.parts) > 1 else None
                yield Found(inner.as_posix(), str(path), label, entry.stat().st_size)


def read_rows(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a .txt, .tsv, .csv or .jsonl file.

    A .txt holds one text a line.  A .tsv or .csv has a header, or no header and the text in the
    first column with the label, if any, in the second.

    Raises:
        InputError: it cannot be read, is of another format, or has a malformed line.
    """
    suffix = path.suffix.lower()
    if suffix not in (".txt", ".tsv", ".csv", ".jsonl", ".ndjson"):
        raise InputError(
            f"{path.name}: expected a .txt, .tsv, .csv or .jsonl file of texts, or an image"
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 (byte {error.start}): convert it") from error
    except OSError as error:
        raise InputError(f"cannot read {path.name}: {error.strerror or error}") from error
    if suffix == ".txt":
        return [{"text": line} for line in text.splitlines() if line.strip()]
    if suffix in (".jsonl", ".ndjson"):
        return [
            _parsed(line, path, i) for i, line in enumerate(text.split("\n"), 1) if line.strip()
        ]
    if suffix == ".tsv":
        table = [line.split("\t") for line in text.splitlines() if line.strip()]
    else:
        table = [row for row in csv.reader(text.splitlines(keepends=True)) if row]
    return _with_header(table, path)


def _parsed(line: str, path: Path, number: int) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{path.name}, line {number}: no JSON ({error})") from error
    if not isinstance(row, dict):
        raise InputError(f"{path.name}, line {number}: expected an object, got {line[:40]!r}")
    return row


_KNOWN = frozenset(
    "text sentence content review label labels class sentiment premise hypothesis sentence1 "
    "sentence2 question id idx index".split()
)


def _with_header(table: list[list[str]], path: Path) -> list[Mapping[str, Any]]:
    if not table:
        return []
    first = [cell.strip() for cell in table[0]]
    if any(cell.lower() in _KNOWN for cell in first):
        names, body, skipped = first, table[1:], 2
    else:
        names, body, skipped = ["text", "label"][: len(first)], table, 1
    for i, row in enumerate(body):
        if len(row) != len(names):
            raise InputError(
                f"{path.name}, row {i + skipped}: expected {len(names)} columns, got {len(row)}"
            )
    return [dict(zip(names, row, strict=True)) for row in body]
