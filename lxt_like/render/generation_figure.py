"""A figure of a generated text: its words, the matrix of all its tokens, and the account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..explanation import GenerationData
from .colors import LIGHT, normalise
from .drawing import INK, LINE, MARGIN, SOFT, Box, Label, Raster, Strip
from .fonts import measure
from .matrix import Matrix, matrix_of
from .strips import legend, shortened, small

CELL = 12.0
"""Points a side of a cell, where there is room."""

WIDEST = 40.0
"""Inches of the widest figure: with more columns than fit, cells are narrower."""

_FONT, _LEAST = 8.0, 4.0
_LONGEST = 90.0
_GAP = 4.0
_CLOSED = 0.955
"""Grey of a place whose token was not yet written."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the matrix stands: ``names`` and ``head`` are the room of its labels."""

    matrix: Matrix
    names: float
    head: float
    cell: float
    size: float


def inches(data: GenerationData) -> float:
    """How wide a figure must be to show the matrix with cells of their full size."""
    made = _layout(matrix_of(data), 72 * WIDEST - 2 * MARGIN)
    return (made.names + made.cell * len(made.matrix.columns) + 2 * MARGIN) / 72


def matrix_strips(data: GenerationData, width: float) -> Iterator[Strip]:
    """The matrix in ``width`` points with its colours; names are left out where cells are tiny."""
    matrix = matrix_of(data)
    if not matrix.columns:
        return
    made = _layout(matrix, width)
    yield from small("each token of the output (rows) by the words of the prompt, then the tokens "
                     "before it (columns)", width)  # fmt: skip
    yield Strip(4)
    yield _drawn(made)
    yield legend(matrix.peak, width)
    if not made.size:
        yield from small("the names of rows and columns are left out for want of room", width)


def _layout(matrix: Matrix, width: float) -> _Layout:
    names = _room(matrix.rows, _FONT)
    head = _room(matrix.columns, _FONT)
    count = max(len(matrix.columns), 1)
    cell = min(CELL, (width - names) / count)
    size = min(_FONT, cell * 0.8)
    if size < _LEAST:
        return _Layout(matrix, 0.0, 0.0, min(CELL, width / count), 0.0)
    return _Layout(matrix, names, head, cell, size)


def _room(names: tuple[str, ...], size: float) -> float:
    return min(max((measure(name, size) for name in names), default=0.0), _LONGEST) + _GAP


def _drawn(made: _Layout) -> Strip:
    matrix, cell = made.matrix, made.cell
    wide, high = cell * len(matrix.columns), cell * len(matrix.rows)
    strip = Strip(made.head + high + 8)
    strip.rasters.append(Raster(made.names, made.head, wide, high, _pixels(matrix)))
    strip.boxes.append(Box(made.names, made.head, wide, high, "", edge=LINE))
    border = made.names + cell * matrix.words
    if 0 < matrix.words < len(matrix.columns):
        strip.boxes.append(Box(border - 0.5, 0, 1.0, made.head + high, INK, above=True))
    if not made.size:
        return strip
    for row, name in enumerate(matrix.rows):
        y = made.head + cell * (row + 0.5) + 0.36 * made.size
        shown = shortened(name, _LONGEST, made.size, bold=False)
        strip.labels.append(Label(made.names - _GAP, y, shown, made.size, INK, right=True))
    for column, name in enumerate(matrix.columns):
        x = made.names + cell * (column + 0.5) + 0.36 * made.size
        color = INK if column < matrix.words else SOFT
        shown = shortened(name, _LONGEST, made.size, bold=False)
        strip.labels.append(Label(x, made.head - 3, shown, made.size, color, upwards=True))
    return strip


def _pixels(matrix: Matrix) -> Any:
    """One pixel for each cell, [rows, columns, 3] uint8."""
    rows, columns = matrix.values.shape
    made = np.full((rows, columns, 3), _CLOSED)
    for row in range(rows):
        for column in range(min(matrix.words + row, columns)):
            made[row, column] = LIGHT(normalise(float(matrix.values[row, column]), matrix.peak))
    return (made * 255).round().astype(np.uint8)
