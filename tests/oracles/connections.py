"""The classical rules connection by connection, in float64, for any linear operation.

The dense matrix w_ij of an operation is found by applying it to basis vectors, one by one; the
rules are then loops over its entries, as the papers write them.  Nothing of the package is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass
class Share:
    """Relevance of the inputs [n], and what did not reach them."""

    inputs: Array
    kept: dict[str, float] = field(default_factory=dict)

    def keep(self, cause: str, amount: float) -> None:
        self.kept[cause] = self.kept.get(cause, 0.0) + amount


def matrix(op: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Array:
    """[inputs, outputs] of a linear map of one sample of ``shape``."""
    n = int(np.prod(shape))
    rows = []
    for i in range(n):
        basis = torch.zeros(n, dtype=torch.float64)
        basis[i] = 1.0
        rows.append(op(basis.reshape(1, *shape)).detach().reshape(-1).numpy())
    return np.array(rows)


def up(v: float) -> float:
    return v if v > 0 else 0.0


def down(v: float) -> float:
    return v if v < 0 else 0.0


def stab(v: float, eps: float) -> float:
    return v + (eps if v >= 0 else -eps)


def by_contributions(
    c: Array, bias: Array, r: Array, stabilized: Callable[[float, int], float]
) -> Share:
    """R_i = sum_j c_ij / stab(sum_i c_ij + c_bj) R_j for contributions c and those of the bias."""
    out = Share(np.zeros(len(c)))
    for j in range(c.shape[1]):
        total = sum(c[i, j] for i in range(len(c))) + bias[j]
        den = stabilized(total, j)
        if den == 0:
            out.keep("unassigned", r[j])
            continue
        for i in range(len(c)):
            out.inputs[i] += c[i, j] / den * r[j]
        out.keep("bias", bias[j] / den * r[j])
        out.keep("epsilon", (den - total) / den * r[j])
    return out


def epsilon(
    x: Array, w: Array, b: Array, r: Array, eps: float = 0.0, clip: bool = False,
    scaled: bool = False, zero_bias: bool = False,
) -> Share:  # fmt: skip
    c = np.array([[x[i] * w[i, j] for j in range(w.shape[1])] for i in range(len(x))])
    kept = np.zeros_like(b) if zero_bias else b
    totals = [sum(c[:, j]) + kept[j] for j in range(len(b))]
    if scaled:
        eps *= float(np.sqrt(np.mean(np.square(totals))))

    def stabilized(total: float, j: int) -> float:
        if clip:
            return max(abs(total), eps) * (1 if total >= 0 else -1)
        return stab(total, eps)

    return by_contributions(c, kept, r, stabilized)


def gamma(
    x: Array, w: Array, b: Array, r: Array, gamma: float, eps: float = 0.0, zero_bias: bool = False
) -> Share:
    c = np.zeros_like(w)
    kept = np.zeros_like(b)
    for j in range(w.shape[1]):
        z = sum(x[i] * w[i, j] for i in range(len(x))) + b[j]
        own = up if z >= 0 else down
        for i in range(len(x)):
            c[i, j] = x[i] * w[i, j] + gamma * own(x[i] * w[i, j])
        kept[j] = 0.0 if zero_bias else b[j] + gamma * own(b[j])
    return by_contributions(c, kept, r, lambda total, j: stab(total, eps))


def classic_gamma(
    x: Array, w: Array, b: Array, r: Array, gamma: float, eps: float = 0.0, zero_bias: bool = False
) -> Share:
    c = np.zeros_like(w)
    for i in range(len(x)):
        for j in range(w.shape[1]):
            c[i, j] = x[i] * (w[i, j] + gamma * up(w[i, j]))
    kept = np.array([0.0 if zero_bias else v + gamma * up(v) for v in b])
    return by_contributions(c, kept, r, lambda total, j: stab(total, eps))


def alpha_beta(
    x: Array, w: Array, b: Array, r: Array, alpha: float, beta: float, eps: float = 0.0,
    zero_bias: bool = False,
) -> Share:  # fmt: skip
    out = Share(np.zeros(len(x)))
    for factor, cut, sign in ((alpha, up, 1.0), (-beta, down, -1.0)):
        if factor == 0:
            continue
        c = np.zeros_like(w)
        for i in range(len(x)):
            for j in range(w.shape[1]):
                c[i, j] = cut(x[i] * w[i, j])
        kept = np.array([0.0 if zero_bias else cut(v) for v in b])
        part = by_contributions(c, kept, factor * r, lambda t, j, s=sign: t + s * eps)
        out.inputs += part.inputs
        for cause, amount in part.kept.items():
            out.keep(cause, amount)
    return out


def z_box(
    x: Array, w: Array, b: Array, r: Array, low: Array, high: Array, eps: float = 0.0
) -> Share:
    c = np.zeros_like(w)
    for i in range(len(x)):
        for j in range(w.shape[1]):
            c[i, j] = x[i] * w[i, j] - low[i] * up(w[i, j]) - high[i] * down(w[i, j])
    return by_contributions(c, np.zeros_like(b), r, lambda total, j: stab(total, eps))


def w_square(
    x: Array, w: Array, b: Array, r: Array, eps: float = 0.0, zero_bias: bool = True
) -> Share:
    c = np.array([[w[i, j] ** 2 for j in range(w.shape[1])] for i in range(len(x))])
    kept = np.zeros_like(b) if zero_bias else b**2
    return by_contributions(c, kept, r, lambda total, j: stab(total, eps))


def flat(x: Array, w: Array, b: Array, r: Array, connected: Array) -> Share:
    """``connected``: the matrix of the same operation with all weights 1."""
    return by_contributions(connected, np.zeros_like(b), r, lambda total, j: total)
