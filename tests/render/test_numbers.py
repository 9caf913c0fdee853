from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxt_like.render.numbers import close_sum, decimals_for, percent, signed


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (1.234, 2, "+1.23"),
        (-1.235, 1, "-1.2"),
        (-0.001, 2, "0.00"),
        (0.0, 2, "0.00"),
        (3e-9, None, "+3.00e-09"),
        (0.0, None, "0.00e+00"),
        (1e10, None, "+1.00e+10"),
    ],
)
def test_signed(value: float, decimals: int | None, shown: str) -> None:
    assert signed(value, decimals) == shown


def test_decimals_follow_the_scale() -> None:
    assert [decimals_for(s) for s in (0.0, 0.0021, 0.21, 1.0, 99.0, 1e5)] == [2, 5, 3, 2, 1, 0]
    assert decimals_for(1e-4) is None
    assert decimals_for(-1e6) is None


def test_percent_never_claims_certainty() -> None:
    given_ = (0.0, 1e-9, 0.5, 0.98765, 0.99999, 1.0)
    assert [percent(p) for p in given_] == [
        "0.0 %", "<0.1 %", "50.0 %", "98.8 %", ">99.9 %", "100.0 %",
    ]  # fmt: skip


def test_rounding_alone_would_not_close() -> None:
    """0.333 three times: rounded one by one to 0.3, the sum would read 0.9 against 1.0."""
    shown, end = close_sum([1 / 3, 1 / 3, 1 / 3], 1.0, 1)
    assert sorted(shown) == [0.3, 0.3, 0.4]
    assert end == 1.0


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8),
    st.integers(0, 6),
    st.floats(-1e-9, 1e-9),
)
def test_what_is_shown_adds_up_and_nothing_moves_far(
    parts: list[float], decimals: int, error: float
) -> None:
    total = float(sum(map(Fraction, parts))) + error
    shown, end = close_sum(parts, total, decimals)
    unit = Fraction(1, 10**decimals)
    assert sum(round(Fraction(s) / unit) for s in shown) == round(Fraction(end) / unit)
    for part, value in zip(parts, shown, strict=True):
        assert abs(Fraction(part) - Fraction(value)) <= unit * Fraction(1001, 1000)


def test_what_does_not_add_up_is_not_made_to() -> None:
    assert close_sum([1.04, 1.04], 5.0, 1) == ([1.0, 1.0], 5.0)
