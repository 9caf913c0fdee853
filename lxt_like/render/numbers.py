"""Numbers as a reader sees them: signed, as many decimals as the scale needs, sums that close."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

PLAIN_RANGE = (1e-3, 1e6)
"""Scales written in plain decimals; smaller and larger ones are written with an exponent."""


def decimals_for(scale: float, digits: int = 3) -> int | None:
    """Decimals that show a number as large as ``scale`` with ``digits`` significant digits.

    None where plain decimals would be unreadable and an exponent is used; all numbers of one
    table share the result, so that they align.
    """
    if scale == 0.0:
        return digits - 1
    low, high = PLAIN_RANGE
    if not low <= abs(scale) < high:
        return None
    return min(max(digits - 1 - math.floor(math.log10(abs(scale))), 0), 6)


def signed(value: float, decimals: int | None) -> str:
    """``+1.23`` or ``-1.23``; a value that rounds to zero carries no sign."""
    text = f"{value:+.2e}" if decimals is None else f"{value:+.{decimals}f}"
    return text if any(c in "123456789" for c in text.split("e")[0]) else text[1:]


def percent(probability: float) -> str:
    """``98.7 %``; never 0 or 100 for a probability that is neither."""
    if 0.0 < probability < 0.001:
        return "<0.1 %"
    if 0.999 < probability < 1.0:
        return ">99.9 %"
    return f"{100 * probability:.1f} %"


def close_sum(parts: Sequence[float], total: float, decimals: int) -> tuple[list[float], float]:
    """Round ``parts`` and ``total`` to ``decimals`` such that the rounded parts add up exactly.

    Rounding each part by itself leaves sums that are visibly off by a last digit or two.  Here
    parts are rounded down, and those with the largest remainders up, until they meet the
    rounded total: no part moves by a whole last digit.  Where that cannot close, because the
    parts do not add up to begin with, each is rounded by itself and the sum is left open.
    """
    unit = Fraction(1, 10**decimals)
    goal = round(Fraction(total) / unit)
    scaled = [Fraction(part) / unit for part in parts]
    counts = [math.floor(value) for value in scaled]
    missing = goal - sum(counts)
    if 0 <= missing <= len(parts):
        remainders = sorted(
            range(len(parts)), key=lambda i: (scaled[i] - counts[i], abs(scaled[i])), reverse=True
        )
        for index in remainders[:missing]:
            counts[index] += 1
    else:
        counts = [round(value) for value in scaled]
    return [float(count * unit) for count in counts], float(goal * unit)
