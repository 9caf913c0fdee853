"""The HTML card of a generated text: a tab for each token, and the matrix of all."""

from __future__ import annotations

from dataclasses import dataclass

from ..explanation import GenerationData, TextData
from .colors import largest, normalise
from .escape import one_line, visible
from .html_parts import shade_of
from .html_text import (
    Item,
    TextCard,
    chips_of,
    probability_of,
    score_of,
    segments_of,
    text_card,
    words_of,
)
from .matrix import Matrix, matrix_of
from .numbers import decimals_for, signed

MOST_CELLS = 40_000
"""A page with a larger matrix would be slow; it is left out, with a sentence that says so."""


@dataclass(frozen=True, slots=True)
class Tab:
    """One output token: its name on the tab, and the text with the relevances for it."""

    name: str
    label: str
    score: str
    probability: str
    segments: list[list[Item]]
    chips: list[Item]
    limit: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the matrix; ``cells`` of what was written before its token, ``rest`` not yet."""

    name: str
    title: str
    cells: list[Item]
    rest: int


@dataclass(frozen=True, slots=True)
class Table:
    """The matrix as the template sees it; ``words``: how many columns are the prompt's."""

    columns: list[str]
    words: int
    lines: list[Line]
    limit: str


@dataclass(frozen=True, slots=True)
class GenerationCard:
    """Everything the template shows of a generated text.

    ``card``: the whole output, as an explained text.
    """

    card: TextCard
    tabs: list[Tab]
    matrix: Table | None
    template: str = "generation_card.html"


def generation_card(data: GenerationData) -> GenerationCard:
    """The card of a generated text."""
    matrix = matrix_of(data)
    tabs = [_tab(data, t, name) for t, name in enumerate(matrix.rows)]
    small = matrix.values.size <= MOST_CELLS
    return GenerationCard(text_card(data.total), tabs, _table(matrix, tabs) if small else None)


def _tab(data: GenerationData, t: int, name: str) -> Tab:
    step = data.steps[t]
    peak = largest(step)
    segments = segments_of(step, words_of(step))
    if len(segments) == 1:
        segments.append([])
    segments[1] += _to_come(data, t, step)
    return Tab(
        name,
        one_line(step.target.label),
        score_of(step),
        probability_of(step),
        segments,
        chips_of(step),
        signed(peak, decimals_for(peak)).lstrip("+"),
    )


def _to_come(data: GenerationData, t: int, step: TextData) -> list[Item]:
    """The output's text behind a step's: the token itself, and what follows it."""
    done = len(step.texts[1]) if len(step.texts) > 1 else 0
    end = max(data.written[t].end or 0, done)
    parts = ((data.output[done:end], "next"), (data.output[end:], "rest"))
    return [Item(visible(text), mark=mark) for text, mark in parts if text]


def _table(matrix: Matrix, tabs: list[Tab]) -> Table:
    decimals = decimals_for(matrix.peak)
    lines = []
    for row, (name, tab) in enumerate(zip(matrix.rows, tabs, strict=True)):
        count = matrix.words + row
        cells = []
        for column, value in zip(matrix.columns[:count], matrix.values[row], strict=False):
            number = float(value)
            shade = shade_of(normalise(number, matrix.peak))
            cells.append(Item("", shade, f"{column} {signed(number, decimals)}"))
        chance = f", {tab.probability}" if tab.probability else ""
        lines.append(
            Line(name, f"{tab.label} {tab.score}{chance}", cells, len(matrix.rows) - 1 - row)
        )
    limit = signed(matrix.peak, decimals).lstrip("+")
    return Table(list(matrix.columns), matrix.words, lines, limit)
