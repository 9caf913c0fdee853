from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lxt_like.errors import InputError
from lxt_like.evaluate.statistics import agreement, band, estimate, holm, paired, valid


def bca(x: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """BCa from its definition (Efron 1987), loops and the jackknife written out."""
    rng = np.random.default_rng(seed)
    means = np.sort([x[rng.integers(0, len(x), len(x))].mean() for _ in range(resamples)])
    z0 = stats.norm.ppf((means < x.mean()).mean())
    left = np.array([np.delete(x, i).mean() for i in range(len(x))])
    d = left.mean() - left
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    ends = []
    for z in stats.norm.ppf([0.025, 0.975]):
        share = stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z)))
        ends.append(np.quantile(means, share))
    return ends[0], ends[1]


def test_the_interval_is_bca() -> None:
    x = np.random.default_rng(1).exponential(size=60)  # skewed, so that BCa is not the percentile
    made = estimate(x, resamples=20_000)
    assert made.low is not None and made.high is not None
    low, high = bca(x, 20_000, 5)
    width = high - low
    assert made.low == pytest.approx(low, abs=0.03 * width)
    assert made.high == pytest.approx(high, abs=0.03 * width)
    # and it is the skewed one: further from the mean above than below
    assert made.mean is not None
    assert made.high - made.mean > 1.1 * (made.mean - made.low)
    assert (made.mean, made.median, made.n) == (x.mean(), np.median(x), 60)


def test_intervals_cover() -> None:
    rng = np.random.default_rng(0)
    inside = sum(estimate(rng.normal(3, 1, 40), i, 600).contains(3.0) for i in range(200))
    assert 0.88 <= inside / 200 <= 0.99


def test_the_seed_decides() -> None:
    x = np.random.default_rng(0).normal(size=30)
    assert estimate(x, 1) == estimate(x, 1)
    assert estimate(x, 1).low != estimate(x, 2).low


@pytest.mark.parametrize(
    ("values", "interval", "note"),
    [
        ([], (None, None), "no samples"),
        ([2.0], (None, None), "one sample"),
        ([2.0, 2.0, 2.0], (2.0, 2.0), "equal"),
    ],
)
def test_too_little_to_say(values: list[float], interval: object, note: str) -> None:
    made = estimate(values)
    assert (made.low, made.high) == interval
    assert note in made.note
    assert made.n == len(values)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_there_is_always_an_interval(values: list[float]) -> None:
    made = estimate(values, resamples=200)
    assert made.low is not None and made.high is not None
    assert min(values) - 1e-6 <= made.low <= made.high <= max(values) + 1e-6


def test_values_that_are_no_numbers() -> None:
    with pytest.raises(InputError, match="nan at sample 1"):
        estimate([0.0, float("nan")])
    with pytest.raises(InputError, match=r"shape \(1, 2\)"):
        estimate([[0.0, 1.0]])


def wilcoxon_by_hand(d: np.ndarray) -> float:
    """All 2^n signs of the ranks: the exact two-sided p of the signed-rank test."""
    ranks = stats.rankdata(np.abs(d))
    seen = min(ranks[d > 0].sum(), ranks[d < 0].sum())
    signs = (np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1
    totals = signs @ ranks
    return min(1.0, 2 * float((totals <= seen).mean()))


def test_paired() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.4, 1, 10), rng.normal(0, 1, 10)
    made = paired(a, b)
    assert made.p == pytest.approx(wilcoxon_by_hand(a - b))
    assert made.difference == estimate(a - b)
    # the order of the two turns the sign and nothing else
    other = paired(b, a)
    assert other.p == made.p
    assert other.difference.mean == pytest.approx(-(a - b).mean())
    assert paired(a, a).p == 1.0
    assert paired([1.0], [0.0]).p is None
    with pytest.raises(InputError, match="3 and 2"):
        paired([1, 2, 3], [1, 2])


def test_holm() -> None:
    # worked by hand: .01*4, .02*3, .03*2 -> .06 may not fall below .06, .5
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([None, 0.04]) == [None, 0.04]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.001, 0.2))
def test_holm_rejects_as_its_definition(p: list[float], level: float) -> None:
    """Step down: reject in order while the i-th smallest p is at most level / (m - i + 1)."""
    order = np.argsort(p, kind="stable")
    rejected = set()
    for i, at in enumerate(order):
        if (len(p) - i) * p[at] > level:
            break
        rejected.add(int(at))
    assert {i for i, value in enumerate(holm(p)) if value is not None and value <= level} == (
        rejected
    )


def test_agreement() -> None:
    one = {"a": 3.0, "b": 2.0, "c": 1.0}
    assert agreement(one, {"c": -1.0, "b": 0.0, "a": 9.0}) == 1.0
    assert agreement(one, {"a": 1.0, "b": 2.0, "c": 3.0}) == -1.0
    assert agreement(one, {"a": 2.0, "b": 3.0, "c": 1.0}) == pytest.approx(1 / 3)
    assert agreement(one, {"a": 2.0, "z": 3.0}) is None
    assert agreement(one, {"a": 1.0, "b": 1.0, "c": 1.0}) is None


def test_the_gate() -> None:
    rng = np.random.default_rng(0)
    assert valid(estimate(rng.normal(0, 1, 100))) is True
    assert valid(estimate(rng.normal(1, 1, 100))) is False
    assert valid(estimate([0.0])) is None


def test_bands() -> None:
    rows = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    mean, low, high = band(rows)
    assert mean.tolist() == [2.0, 1.0]
    assert high[0] - 2 == pytest.approx(1.96 * 2 / np.sqrt(3))
    assert (low[1], high[1]) == (1.0, 1.0)
    assert band([[1.0, 2.0]])[1].tolist() == [1.0, 2.0]
