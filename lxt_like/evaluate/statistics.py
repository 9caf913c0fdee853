"""What the numbers of many samples say: intervals, paired tests, agreement, and the validity gate.

Everything here takes plain arrays, one number a sample, and is deterministic for a given seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

LEVEL = 0.95
RESAMPLES = 2000

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean and median of ``n`` numbers with the 95 % interval ``low`` .. ``high`` of the mean.

    ``low`` and ``high`` are None where there is no interval; ``note`` then says why, as it does
    where the interval is not the usual one.
    """

    n: int
    mean: float | None
    median: float | None
    low: float | None
    high: float | None
    note: str = ""

    def contains(self, value: float) -> bool:
        """Whether the interval holds ``value``; False without an interval."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Paired:
    """The difference of two methods on the same samples: its estimate and Wilcoxon's p."""

    difference: Estimate
    p: float | None


def estimate(values: ArrayLike, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Mean, median and the 95 % bias-corrected and accelerated bootstrap interval of the mean.

    BCa (Efron 1987) over samples: resampled means, their percentiles moved by the bias
    z0 and the acceleration a.  Fewer than two numbers have no interval; equal numbers have the
    interval of width 0; where BCa is undefined the percentile interval stands in, and is noted.

    Raises:
        InputError: a value is NaN or infinite, or the values are no vector.
    """
    x = _vector(values)
    if len(x) == 0:
        return Estimate(0, None, None, None, None, "no samples")
    mean, median = float(x.mean()), float(np.median(x))
    if len(x) == 1:
        return Estimate(1, mean, median, None, None, "one sample: no interval")
    if np.ptp(x) == 0.0:
        return Estimate(len(x), mean, median, mean, mean, "all values are equal")
    low, high, note = _interval(x, seed, resamples)
    return Estimate(len(x), mean, median, low, high, note)


def _interval(x: Array, seed: int, resamples: int) -> tuple[float, float, str]:
    from scipy.stats import bootstrap

    note = ""
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            # a degenerate distribution is seen by its NaN
            warnings.simplefilter("ignore")
            made: Any = bootstrap(
                (x,),
                np.mean,
                n_resamples=resamples,
                batch=max(1, 4_000_000 // len(x)),
                confidence_level=LEVEL,
                method=method,
                rng=np.random.default_rng(seed),
            )
        low, high = map(float, made.confidence_interval)
        if np.isfinite(low) and np.isfinite(high):
            return low, high, note
        note = "BCa is undefined here: percentile interval"
    raise AssertionError("percentiles of finite means are finite")


def paired(a: ArrayLike, b: ArrayLike, seed: int = 0) -> Paired:
    """``a - b`` sample by sample: estimate, and the two-sided p of Wilcoxon's signed-rank test.

    Where no difference is other than 0 nothing speaks against equality: p is 1.  Fewer than two
    samples have no p.

    Raises:
        InputError: the two have different lengths, or a value is not finite.
    """
    x, y = _vector(a), _vector(b)
    if len(x) != len(y):
        raise InputError(f"a paired difference needs the same samples, got {len(x)} and {len(y)}")
    difference = x - y
    found = estimate(difference, seed)
    if len(difference) < 2:
        return Paired(found, None)
    if not np.any(difference):
        return Paired(found, 1.0)
    from scipy.stats import wilcoxon

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small samples with ties: scipy takes the normal form
        return Paired(found, float(wilcoxon(difference).pvalue))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) adjusted p-values: the i-th smallest of m times m - i + 1, never falling.

    None (no test was made) stays None and does not count.
    """
    known = sorted((value, i) for i, value in enumerate(p) if value is not None)
    adjusted: list[float | None] = [None] * len(p)
    highest = 0.0
    for rank, (value, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * value))
        adjusted[i] = highest
    return adjusted


def agreement(one: Mapping[str, float], other: Mapping[str, float]) -> float | None:
    """Kendall's tau-b of two rankings of the same methods, from their scores.

    1: the same order, -1: the opposite.  None for fewer than two methods in both, or where one
    ranking ties all of them.
    """
    common = [name for name in one if name in other]
    if len(common) < 2:
        return None
    from scipy.stats import kendalltau

    tau = float(kendalltau([one[n] for n in common], [other[n] for n in common]).statistic)
    return tau if np.isfinite(tau) else None


def valid(random: Estimate) -> bool | None:
    """Whether an evaluation passes its gate: the interval of a random order contains 0.

    A random order has no signal, so most- and least-relevant-first agree up to chance.  None
    where there is no interval to judge by.
    """
    return None if random.low is None else random.contains(0.0)


def band(curves: ArrayLike) -> tuple[Array, Array, Array]:
    """Mean of curves [samples, points] and its 95 % band: mean -+ 1.96 standard errors.

    One curve has a band of width 0.
    """
    rows = np.asarray(curves, dtype=np.float64)
    mean = rows.mean(0)
    error = rows.std(0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.zeros_like(mean)
    return mean, mean - 1.96 * error, mean + 1.96 * error


def _vector(values: ArrayLike) -> Array:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise InputError(f"statistics need one number a sample, got an array of shape {x.shape}")
    if not np.isfinite(x).all():
        at = int(np.flatnonzero(~np.isfinite(x))[0])
        raise InputError(f"statistics need finite numbers, got {x[at]} at sample {at}")
    return x
