"""A generated text as a matrix: a row for each output token, a column for each that made it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..explanation import Array, GenerationData
from .colors import largest
from .escape import one_line

_SPACE = "␣"


@dataclass(frozen=True, slots=True)
class Matrix:
    """What is shown of :attr:`.GenerationData.relevance`.

    Attributes:
        rows: name of each output token.
        columns: of each word of the prompt, then of each output token but the last, which made
            nothing.
        values: float64 [rows, columns].
        words: how many columns are the prompt's.
        peak: the largest |R| in it, the full colour; one for all rows, so that they compare.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Array
    words: int
    peak: float

    def strongest(self, row: int, count: int) -> list[int]:
        """The columns of largest |R| in a row, strongest first; zeros are left out."""
        values = self.values[row]
        order = np.argsort(-np.abs(values), kind="stable")[:count]
        return [int(i) for i in order if values[i] != 0.0]


def matrix_of(data: GenerationData) -> Matrix:
    """The matrix of a generated text; NumericalError for relevance that is not finite."""
    for part in (data.total, *data.steps):
        largest(part)
    rows = tuple(map(token_name, data.tokens))
    words = tuple(one_line(word.text) for word in data.words)
    values = data.relevance[:, : len(words) + len(rows) - 1]
    peak = float(np.abs(values).max()) if values.size else 0.0
    return Matrix(rows, words + rows[:-1], values, len(words), peak)


def token_name(token: str) -> str:
    """A token as a label: without the space before it, spaces alone as visible marks."""
    bare = token.strip(" ")
    return one_line(bare) if bare else _SPACE * max(len(token), 1)
