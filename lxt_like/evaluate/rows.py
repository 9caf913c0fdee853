"""Files of texts, row by row; a row that cannot be read is one that says why."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..explain.decoding import decode
from .delimited import Cells, csv_rows, tsv_rows

DELIMITERS = ",;\t|"
_LOOKED_AT = 50
"""Rows of a .csv that its delimiter is told from."""

_KNOWN = frozenset(
    "text sentence content review label labels class sentiment premise hypothesis sentence1 "
    "sentence2 question id idx index".split()
)


@dataclass(frozen=True)
class Entry:
    """A row and where it stands: ``line 3`` of a file, ``3`` of a list.

    ``fault``: why it cannot be read; then it has no columns.
    """

    where: str
    row: Mapping[str, Any]
    fault: str | None = None


def read_rows(path: Path, named: Collection[str] = ()) -> list[Entry]:
    """The rows of a .txt, .tsv, .csv or .jsonl file.

    A .txt holds one text a line.  A .tsv or .csv has a header: a first row with a column that is
    ``named`` or whose name is known.  A .tsv without one holds a text and, after a tab, its label;
    a .csv without one holds texts only.  A .csv's delimiter is a comma, semicolon, tab or bar.
    Quotes: see :mod:`.delimited`.

    Raises:
        InputError: the file cannot be read, is of another format, or nobody knows its columns.
    """
    suffix = path.suffix.lower()
    if suffix not in (".txt", ".tsv", ".csv", ".jsonl", ".ndjson"):
        raise InputError(
            f"{path.name}: expected a .txt, .tsv, .csv or .jsonl file of texts, or an image"
        )
    try:
        text = decode(path.read_bytes(), path.name)
    except OSError as error:
        raise InputError(f"cannot read {path.name}: {error.strerror or error}") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # as an editor counts them: not at every character that Unicode calls a line's end
    lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if suffix == ".txt":
        return [Entry(f"line {i}", {"text": line}) for i, line in lines]
    if suffix in (".jsonl", ".ndjson"):
        return [_parsed(line, i) for i, line in lines]
    if suffix == ".tsv":
        return _with_header([*tsv_rows(text)], path, named)
    return _with_header([*csv_rows(text, _delimiter(text, named))], path, named)


def _parsed(line: str, number: int) -> Entry:
    where = f"line {number}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Entry(where, {}, f"no JSON ({error})")
    if not isinstance(row, dict):
        return Entry(where, {}, f"expected an object, got {line[:40]!r}")
    return Entry(where, row)


def _delimiter(text: str, named: Collection[str]) -> str:
    """What splits a header with a known name, or else most rows alike; a comma if nothing does."""
    best, most = DELIMITERS[0], (False, 0.5)
    for delimiter in DELIMITERS:
        first = islice(csv_rows(text, delimiter), _LOOKED_AT)
        rows = [row for _, row in first if not isinstance(row, str)]
        if not rows or len(rows[0]) < 2:
            continue
        alike = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        if (found := (_is_header(rows[0], named), alike)) > most:
            best, most = delimiter, found
    return best


def _is_header(row: Sequence[str], named: Collection[str]) -> bool:
    cells = [cell.strip() for cell in row]
    return any(cell in named or cell.lower() in _KNOWN for cell in cells)


def _with_header(
    table: Sequence[tuple[int, Cells]], path: Path, named: Collection[str]
) -> list[Entry]:
    first = next((row for _, row in table if not isinstance(row, str)), [])
    names = ["text"] if len(first) < 2 else ["text", "label"]
    if _is_header(first, named):
        names = [cell.strip() for cell in first]
        table = [(line, row) for line, row in table if row is not first]
    elif len(first) > (2 if path.suffix.lower() == ".tsv" else 1):
        shown = ", ".join(repr(cell.strip()[:40]) for cell in first)
        raise InputError(
            f"which column of {path.name} holds the texts? Its first row has {shown}: if that is "
            "its header, name a column with columns=Columns(content=...) (--column), otherwise "
            "put one above it, such as text,label"
        )
    entries = []
    for line, row in table:
        if isinstance(row, str):
            entries.append(Entry(f"line {line}", {}, row))
        elif len(row) != len(names):
            fault = f"expected {len(names)} column{'s'[: len(names) != 1]}, got {len(row)}"
            if broken := sum(cell.count("\n") for cell in row):
                fault += f"; a field in quotes runs on to line {line + broken}"
            entries.append(Entry(f"line {line}", {}, fault))
        else:
            entries.append(Entry(f"line {line}", dict(zip(names, row, strict=True))))
    return entries
