"""Tables that stay readable when they are wider than the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ..render.escape import one_line
from .streams import is_terminal

_GAP = "  "
_LEAST_ELIDED = 30


@dataclass(frozen=True, slots=True)
class Column:
    """A column: numbers stand to the ``right``; one that can be ``spared`` goes first."""

    title: str
    right: bool = False
    spared: bool = False


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; None if it is none, where lines may be long."""
    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None = None
) -> str:
    """Rows under a header, each line at most ``width`` columns wide (None: as wide as needed).

    Too wide a table loses the columns that can be spared, then the beginning of the first
    column's longer cells; one that does not fit even so becomes a list, a block for each row,
    without the columns that can be spared.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    titles = [column.title for column in columns]
    for spare in (False, True):
        kept = [i for i, column in enumerate(columns) if not (spare and column.spared)]
        sizes = [max(len(line[i]) for line in [titles, *cells]) for i in kept]
        over = 0 if width is None else sum(sizes) + len(_GAP) * (len(sizes) - 1) - width
        if over <= 0:
            return _grid(columns, [titles, *cells], kept, sizes)
    if sizes[0] - over >= min(_LEAST_ELIDED, sizes[0]):
        sizes[0] -= over
        return _grid(columns, [titles, *cells], kept, sizes)
    return _blocks(columns, cells, width or 0)


def _grid(
    columns: Sequence[Column], lines: Sequence[list[str]], kept: list[int], sizes: list[int]
) -> str:
    def line(row: Sequence[str]) -> str:
        parts = []
        for i, size in zip(kept, sizes, strict=True):
            text = row[i] if len(row[i]) <= size else "…" + row[i][len(row[i]) - size + 1 :]
            parts.append(text.rjust(size) if columns[i].right else text.ljust(size))
        return _GAP.join(parts).rstrip()

    head, *body = map(line, lines)
    return "\n".join([head, _GAP.join("-" * size for size in sizes), *body])


def _blocks(columns: Sequence[Column], cells: Sequence[list[str]], width: int) -> str:
    width = max(width, 20)
    lines = []
    for row in cells:
        head, *rest = row
        lines += textwrap.wrap(head, width, subsequent_indent="    ", break_on_hyphens=False) or [
            ""
        ]
        named = [
            f"{column.title}\u00a0{cell}" if column.right else cell
            for column, cell in zip(columns[1:], rest, strict=True)
            if cell and not column.spared
        ]
        # only between cells, so that a name and its number stay together
        body = textwrap.wrap(
            " ".join(part.replace(" ", "\u00a0") for part in named),
            width,
            initial_indent="  ",
            subsequent_indent="  ",
            break_on_hyphens=False,
        )
        lines += [line.replace("\u00a0", " ") for line in body]
    return "\n".join(lines)
