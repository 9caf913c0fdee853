"""Oracles of pooling over windows: average by its connections, maximum to the winner."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from tests.oracles.arrays import Relevances, array, share


def average_pool(x: Any, R: Any, *, kernel: int, stride: int, padding: int = 0) -> Relevances:
    """Mean over windows of x [..., *space] (padding zeros count), R_i = x_i / sum x R.

    x, R: [batch, channels, *space].
    """
    x, R = array(x), array(R)
    R_x = np.zeros_like(x)
    for at in np.ndindex(*R.shape):
        spots = [at[:2] + spot for spot in _window(at[2:], x.shape[2:], kernel, stride, padding)]
        s = share(R[at], sum(x[spot] for spot in spots))
        for spot in spots:
            R_x[spot] += x[spot] * s
    return {"x": R_x}


def max_pool(x: Any, R: Any, *, kernel: int, stride: int, padding: int = 0) -> Relevances:
    """Everything to the winner of each window, the first of equals. x, R: [batch, c, *space]."""
    x, R = array(x), array(R)
    R_x = np.zeros_like(x)
    for at in np.ndindex(*R.shape):
        spots = [at[:2] + spot for spot in _window(at[2:], x.shape[2:], kernel, stride, padding)]
        R_x[max(spots, key=x.__getitem__)] += R[at]
    return {"x": R_x}


def _window(
    at: tuple[int, ...], space: tuple[int, ...], kernel: int, stride: int, padding: int
) -> list[tuple[int, ...]]:
    starts = [p * stride - padding for p in at]
    spots = product(*[range(s, s + kernel) for s in starts])
    return [s for s in spots if all(0 <= p < n for p, n in zip(s, space, strict=True))]
