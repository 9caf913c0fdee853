"""What the cards of texts and images share: shades, and the account with its bars."""

from __future__ import annotations

from dataclasses import dataclass

from . import account
from .escape import one_line

STEPS = 20
"""Shades of each sign: more could not be told apart, and classes keep the page small."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of the account with its bar, in per cent of the column."""

    row: account.Row
    shade: str
    left: float
    width: float


def shade_of(value: float) -> str:
    """The class of a normalised relevance: ``p7``, ``n20``, or nothing where it is negligible."""
    step = round(abs(value) * STEPS)
    return f"{'p' if value > 0 else 'n'}{step}" if step else ""


def bar_of(row: account.Row, extent: tuple[float, float]) -> Bar:
    """A row of the account with its bar, in a table that reaches from low to high."""
    low, high = extent
    span = high - low
    start = min(row.start, row.start + row.value)
    shade = "" if row.value == 0.0 else ("p" if row.value > 0 else "n") + str(STEPS)
    row = account.Row(one_line(row.label), row.value, row.shown, row.start, row.help)
    if not span:
        return Bar(row, shade, 0.0, 0.0)
    left = max(0.0, round(100 * (start - low) / span, 2))
    return Bar(row, shade, left, round(100 * abs(row.value) / span, 2))
