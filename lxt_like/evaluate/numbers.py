"""The numbers of a report: one scale a column, and intervals that show where 0 lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..render.numbers import decimals_for, signed

NONE = "–"
_LEAST = 0.001
"""What a time (ms) or a size (MB) is written below."""
_FINER = 2
"""Decimals that one row may have beyond its column."""


@dataclass(frozen=True, slots=True)
class Column:
    """How the numbers of a column are written: three digits of its largest.

    ``decimals``: None where all are so small or large that they need an exponent.
    """

    decimals: int | None

    @staticmethod
    def of(values: Iterable[Any]) -> Column:
        """The column of some values; what is no number (None, a text) is left out."""
        known = [v for v in values if isinstance(v, int | float)]
        if known and all(isinstance(v, int) for v in known):
            return Column(0)
        return Column(decimals_for(max(map(abs, known), default=0.0)))

    @staticmethod
    def of_estimates(rows: Iterable[Mapping[str, Any]]) -> Column:
        """The column of estimates: means, medians and the bounds of their intervals."""
        names = ("mean", "difference", "median", "low", "high")
        return Column.of([row.get(name) for row in rows for name in names])

    def row(self, row: Mapping[str, Any]) -> Column:
        """The column for one estimate: finer if a bound other than 0 would be written as 0, so
        that the interval would say nothing of the side on which it lies."""
        bounds = [b for b in (row["low"], row["high"]) if b]
        if self.decimals is None or not bounds:
            return self
        for finer in range(_FINER + 1):
            made = Column(self.decimals + finer)
            if all(any(c in "123456789" for c in made.number(b)) for b in bounds):
                return made
        return Column(None)

    def number(self, value: float | None) -> str:
        """A number, or a dash where there is none; never ``-0.00``."""
        if value is None:
            return NONE
        if self.decimals is None and not value:
            return "0"
        return signed(value, self.decimals).removeprefix("+")

    def interval(self, row: Mapping[str, Any]) -> str:
        """``low … high`` of an estimate, or a dash."""
        if row["low"] is None or row["high"] is None:
            return NONE
        return f"{self.number(row['low'])} … {self.number(row['high'])}"


def plain(value: float | None) -> str:
    """A time, a size or a count by itself, about three digits; a dash where there is none."""
    if value is None:
        return NONE
    if 0 < value < _LEAST:
        return f"< {_LEAST}"
    return Column(0 if value == int(value) else Column.of([value]).decimals).number(value)


def p_value(value: float | None) -> str:
    """A p-value as it is read."""
    return NONE if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
