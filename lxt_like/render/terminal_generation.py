"""A generated text in a terminal: for each of its tokens what made it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..explanation import GenerationData
from .colors import normalise
from .matrix import Matrix, matrix_of
from .numbers import decimals_for, percent, signed
from .terminal_image import Page

if TYPE_CHECKING:
    from rich.text import Text

STRONGEST = 4
"""How many are named for each token."""

_NAME = 14
"""Columns that a token's name is given, where there is room."""

_TIE = "\u00a0"


def step_lines(page: Page, data: GenerationData) -> Iterator[Text]:
    """A line for each output token: its score, its probability, and the strongest of its row."""
    from rich.cells import cell_len

    matrix = matrix_of(data)
    decimals = decimals_for(max(abs(float(score)) for score in data.scores), digits=4)
    scores = [signed(float(score), decimals) for score in data.scores]
    chances = [
        "" if step.target.probability is None else percent(step.target.probability)
        for step in data.steps
    ]
    wide = page.width >= 60
    column = min(max(map(cell_len, matrix.rows)), _NAME) if wide else 0
    widths = [max(map(len, texts)) if wide else 0 for texts in (scores, chances)]
    hang = column + sum(widths) + 7 if wide else 2
    head = "each token, its score and probability, and what made it most: words of the prompt, "
    yield from page.wrapped([(head + '"tokens" of the output', "dim")])
    for row, name in enumerate(matrix.rows):
        padding = _TIE * max(column - cell_len(name), 0)
        numbers = [scores[row].rjust(widths[0]), chances[row].rjust(widths[1])]
        start = [
            (name.replace(" ", _TIE), "bold"),
            (f"{_TIE}{_TIE}".join([padding, *numbers]).replace(" ", _TIE), ""),
        ]
        made = list(_made_of(page, matrix, row))
        if not wide or not made or cell_len(name) > column:
            yield from page.wrapped([*start, (f"{_TIE}{_TIE} ", ""), *made], hang=2)
            continue
        first = next(page.wrapped(start))
        for n, line in enumerate(page.wrapped(made, hang=hang)):
            if n == 0:
                bare = line[len(page.indent) :]
                line = first.append("   ").append_text(bare)
            yield line


def _made_of(page: Page, matrix: Matrix, row: int) -> Iterator[tuple[str, str]]:
    found = matrix.strongest(row, STRONGEST)
    peak = max((abs(float(matrix.values[row, i])) for i in found), default=0.0)
    for n, i in enumerate(found):
        if n:
            yield f"{_TIE}· ", "dim"
        value = float(matrix.values[row, i])
        name = matrix.columns[i].replace(" ", _TIE)
        name = name if i < matrix.words else f'"{name}"'
        yield name, page.style(normalise(value, peak))
        yield f"{_TIE}{signed(value, decimals_for(matrix.peak))}", ""
