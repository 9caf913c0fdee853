"""Identity rule through activations, to 50 digits: the ratio (f(x) - f(0)) / x.

An activation hands on R_x = (f(x) - f(0)) / f(x) R; the offset f(0) is a bias. In the modified
gradient the same rule reads g_x = ratio g, with the limit f'(0) at x = 0. Numbers come from
mpmath, so nothing cancels at tiny x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath as mp  # type: ignore[import-untyped]
import numpy as np

from tests.oracles.arrays import Array, Relevances, array, share

DIGITS = 50


def _gelu_tanh(x: Any) -> Any:
    return x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)))


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: max(x, mp.mpf(0)),
    "gelu": lambda x: x / 2 * mp.erfc(-x / mp.sqrt(2)),
    "gelu_tanh": _gelu_tanh,
    "quick_gelu": lambda x: x / (1 + mp.exp(mp.mpf("-1.702") * x)),
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "mish": lambda x: x * mp.tanh(mp.log1p(mp.exp(x))),
    "tanh": mp.tanh,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "elu": lambda x: x if x > 0 else mp.expm1(x),
    "exp": mp.exp,
}

# f'(0); for ReLU the subgradient 0, as in torch
SLOPES_AT_ZERO: dict[str, float] = {
    "relu": 0.0,
    "gelu": 0.5,
    "gelu_tanh": 0.5,
    "quick_gelu": 0.5,
    "silu": 0.5,
    "mish": 0.6,
    "tanh": 1.0,
    "sigmoid": 0.25,
    "softplus": 0.5,
    "elu": 1.0,
    "exp": 1.0,
}


def value(name: str, x: Any) -> Array:
    """f(x), elementwise."""
    return _each(FUNCTIONS[name], x)


def offset(name: str) -> float:
    """f(0): what the ledger calls a bias."""
    with mp.workdps(DIGITS):
        return float(FUNCTIONS[name](mp.mpf(0)))


def ratio(name: str, x: Any) -> Array:
    """(f(x) - f(0)) / x, elementwise, f'(0) at 0: the identity rule's modified derivative."""
    f = FUNCTIONS[name]

    def quotient(x: Any) -> Any:
        return (f(x) - f(mp.mpf(0))) / x if x else SLOPES_AT_ZERO[name]

    return _each(quotient, x)


def activation(name: str, x: Any, R: Any) -> Relevances:
    """ "x": (f(x) - f(0)) / f(x) R, "bias": f(0) / f(x) R."""
    y = value(name, x)
    s = share(R, y)
    return {"x": (y - offset(name)) * s, "bias": offset(name) * s}


def _each(f: Callable[[Any], Any], x: Any) -> Array:
    x = array(x)
    flat = np.empty(x.size)
    for i, entry in enumerate(x.ravel()):
        # f(x) - f(0) cancels as many digits as x is small
        lost = max(0.0, -math.log10(abs(entry))) if entry else 0.0
        with mp.workdps(DIGITS + math.ceil(lost)):
            flat[i] = float(f(mp.mpf(float(entry))))
    return flat.reshape(x.shape)
