"""Rows of .csv and .tsv files, each with the line that it begins in.

A field in quotes may hold the delimiter, line breaks, and quotes written twice.  A quote that
opens a field but closes none must not swallow the rows behind it, so quotes count only where a
field begins with one and ends with one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

Cells = list[str] | str
"""Of a row; or why it is none."""
_Found = tuple[Cells, int]
"""A row and where in the text it ends."""

_STRAY = "a quote opens a field, and none closes it at its end"


def csv_rows(text: str, delimiter: str) -> Iterator[tuple[int, Cells]]:
    """The rows of a .csv that are not blank.

    A line with a stray quote is read as it stands if that leaves as many fields as the first row
    has (``"bad" film,0``), and else at fault alone.
    """
    quoted = _quoted(['[^"]'], delimiter)
    start = len(text) - len(text.lstrip("\n"))
    first = _row(text, start, delimiter, quoted)
    width = 0 if first is None else len(first[0])

    def read(start: int, end: int) -> _Found:
        found = _row(text, start, delimiter, quoted)
        plain = text[start:end].split(delimiter)
        return found or ((plain if len(plain) == width > 1 else _STRAY), end)

    return _rows(text, delimiter, read)


def tsv_rows(text: str) -> Iterator[tuple[int, Cells]]:
    """The rows of a .tsv that are not blank, its quotes as they are where they are no table's.

    Many such files know no quoting, and their texts may begin or end with a quote: quotes of a
    table leave as many fields as the first row has, and tabs and line breaks stand in no field
    together.
    """
    line, lines = _quoted(['[^"\n]'], "\t"), _quoted(['[^"\n]', '[^"\t]'], "\t")
    top = next((row for row in text.split("\n") if row.strip()), "")
    first = _row(top, 0, "\t", line)
    width = top.count("\t") + 1 if first is None else len(first[0])

    def read(start: int, end: int) -> _Found:
        found = _row(text, start, "\t", lines if width > 1 else line)
        if found is not None and len(found[0]) == width:
            return found
        return text[start:end].split("\t"), end

    return _rows(text, "\t", read)


def _rows(
    text: str, delimiter: str, read: Callable[[int, int], _Found]
) -> Iterator[tuple[int, Cells]]:
    """``read``: the row of a line with quotes, from where that starts and ends in the text."""
    start, number = 0, 1
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end]
        row: Cells = line.split(delimiter)
        if '"' in line:
            row, end = read(start, end)
        if isinstance(row, str) or any(cell.strip() for cell in row):
            yield number, row
        number += 1 + text.count("\n", start, end)
        start = end + 1


def _quoted(insides: Sequence[str], delimiter: str) -> re.Pattern[str]:
    """A field in quotes that ends where it should; its text, of either of ``insides``, is group 1.

    Nothing is tried twice (``*+``): a quote that is not closed costs one look at the rest.
    """
    text = "|".join(f'{inside}*+(?:""{inside}*+)*+' for inside in insides)
    return re.compile(f'"({text})"(?=[{re.escape(delimiter)}\n]|\\Z)')


def _row(
    text: str, start: int, delimiter: str, quoted: re.Pattern[str]
) -> tuple[list[str], int] | None:
    """The row that begins at ``start``; None: a quote opens a field there that none closes."""
    plain = re.compile(f"[^{re.escape(delimiter)}\n]*")
    row, at = [], start
    while True:
        found = (quoted if text.startswith('"', at) else plain).match(text, at)
        if found is None:
            return None
        row.append(found[0] if found.re is plain else found[1].replace('""', '"'))
        at = found.end()
        if at == len(text) or text[at] == "\n":
            return row, at
        at += 1
