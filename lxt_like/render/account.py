"""The account of one explanation as rows that visibly add up to the score."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import NumericalError
from ..explanation import Explained, GenerationData, TextData
from .colors import largest
from .layout import total
from .numbers import close_sum, decimals_for, signed

EXPLAINED = {
    "bias": "what the biases of the layers contributed",
    "position": "what the position embeddings contributed",
    "token_type": "what the token-type embeddings contributed",
    "cls": "what the CLS token contributed",
    "distillation": "what the distillation token contributed",
    "register": "what the register tokens contributed",
    "constant": "what other constants of the model contributed",
    "softmax": "what the softmax of the attention absorbed",
    "activation": "what activation functions give at zero",
    "epsilon": "what the stabilising epsilon absorbed",
    "unassigned": "what a rule had no input to give to",
    "cut": "what the model itself holds constant",
    "masked": "what the given masks held back",
    "rounding": "what narrowing casts inside the model lost",
}
"""In plain words, the causes an account may name."""

TOLERANCE = 1e-4
"""Relative to the largest row: an account further off than this is said not to add up."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the account: its name, its raw value, and the value as shown.

    ``start`` is the sum of the rows before it, so that bars drawn from ``start`` to
    ``start + value`` form a staircase that ends at the score.
    """

    label: str
    value: float
    shown: str
    start: float = 0.0
    help: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The account of one explanation: if it ``closes``, ``rows`` as shown add up to ``result``.

    ``checks`` are sentences in small print: the gap, operations without a rule, zero rows.
    """

    rows: tuple[Row, ...]
    result: Row
    checks: tuple[str, ...]
    closes: bool

    def extent(self) -> tuple[float, float]:
        """The least and the largest number any bar of the table reaches, zero included."""
        ends = [0.0, self.result.value, *(row.start + row.value for row in self.rows)]
        return min(ends), max(ends)


def table(data: Explained) -> Table:
    """The account of ``data``: its inputs, then each declared cause, then the score.

    Without an account only the inputs are summed; the result is then their sum, not the score.
    Raises NumericalError if a number is NaN or infinite.
    """
    given = _inputs(data)
    parts = [*given.parts]
    inputs = total([value for _, value, _ in parts])
    checks: list[str] = []
    account = data.account
    if account is None:
        result = ("inputs", inputs, f"the relevance of all {given.unit}")
    else:
        if not _near(inputs, account.inputs, given.scale):
            # never shown as if it were the sum of the words: the caller's numbers disagree
            parts = [("inputs", account.inputs, "the relevance of all inputs")]
            checks.append(
                f"{given.names} sum to {inputs:.6g}, the account's inputs are {account.inputs:.6g}"
            )
        parts += [(k, v, EXPLAINED.get(k, "")) for k, v in account.entries.items() if v != 0.0]
        result = ("score", account.score, "what was explained")
    named = [(name, value) for name, value, _ in (*parts, result)]
    _check_finite([*((name, value) for name, value, _ in given.parts), *named], data)
    scale = max(abs(value) for _, value, _ in [*parts, result])
    decimals = decimals_for(scale, digits=4)
    if account is not None:
        if abs(account.gap) >= (TOLERANCE * scale if decimals is None else 0.5 * 10**-decimals):
            parts.append(("gap", account.gap, "what no rule accounts for"))
        checks.insert(0, f"gap {account.gap:.1e}, unruled {account.unruled:.1e}")
        if zero := [cause for cause, value in account.entries.items() if value == 0.0]:
            checks.append(f"zero: {', '.join(zero)}")
    values = [value for _, value, _ in parts]
    closes = _near(total(values), result[1], scale)
    if not closes:
        checks.append(f"the account does NOT add up: its rows sum to {total(values):.6g}")
    shown, end = values, result[1]
    if decimals is not None:
        shown, end = close_sum(values, result[1], decimals)
    starts = [total(values[:index]) for index in range(len(values))]
    rows = [
        Row(label, value, signed(rounded, decimals), start, text)
        for (label, value, text), rounded, start in zip(parts, shown, starts, strict=True)
    ]
    return Table(
        rows=tuple(rows),
        result=Row(result[0], result[1], signed(end, decimals), 0.0, result[2]),
        checks=tuple(checks),
        closes=closes,
    )


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The rows that relevance at the inputs makes, and how large what they sum up is."""

    parts: list[tuple[str, float, str]]
    scale: float
    unit: str
    names: str


def _inputs(data: Explained) -> _Inputs:
    if isinstance(data, GenerationData):
        return _inputs(data.total)
    if not isinstance(data, TextData):
        values = data.channels.astype(np.float64)
        part = ("pixels", float(values.sum()), "the relevance of all pixels")
        return _Inputs([part], float(np.abs(values).sum()), "pixels", "pixels")
    largest(data)  # refuses relevances that are not finite
    words = total([word.relevance for word in data.words])
    special = total([token.relevance for token in data.tokens if token.word is None])
    parts = [("words", words, "the relevance of all words")]
    if any(token.word is None for token in data.tokens):
        parts.append(("special tokens", special, "tokens that stand for no word"))
    return _Inputs(parts, max(abs(words), abs(special)), "tokens", "words and special tokens")


def _near(one: float, other: float, scale: float) -> bool:
    return math.isfinite(one - other) and abs(one - other) <= TOLERANCE * max(
        abs(one), abs(other), scale
    )


def _check_finite(values: list[tuple[str, float]], data: Explained) -> None:
    account = data.account
    if account is not None:
        extra = (("inputs", account.inputs), ("gap", account.gap), ("unruled", account.unruled))
        values = [*values, *extra]
    values = [*values, ("score of the target", data.target.score)]
    if data.target.probability is not None:
        values.append(("probability of the target", data.target.probability))
    for name, value in values:
        if not math.isfinite(value):
            raise NumericalError(
                f"the {name[:40]!a} of this explanation is {value}; only finite numbers can be "
                "shown: look for NaN in the model's weights or an overflow"
            )
