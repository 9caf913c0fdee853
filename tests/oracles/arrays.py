"""What every oracle needs: float64 arrays, the proportional share, and a measure of error."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Relevances: TypeAlias = dict[str, Array]
Composite = Literal["attnlrp", "cp_lrp"]


def array(value: Any) -> Array:
    """A float64 numpy copy of a torch tensor (grad or not, any dtype) or an array-like."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    return np.array(value, dtype=np.float64)


def share(R: Any, z: Any, epsilon: float = 0.0) -> Array:
    """s = R / (z + epsilon sign(z)), sign(0) = +1: relevance per unit of activation.

    At z = 0 with epsilon = 0 the rule is undefined unless nothing has to be distributed.
    """
    R, z = array(R), array(z)
    denominator = z + epsilon * np.where(z >= 0, 1.0, -1.0)
    empty = denominator == 0
    if np.any(R[empty] != 0):
        raise ZeroDivisionError("relevance at an output of exactly 0 cannot be distributed")
    return np.where(empty, 0.0, R / np.where(empty, 1.0, denominator))


def total(relevances: Relevances) -> float:
    """Everything that was handed on: to inputs and to entries."""
    return float(sum(part.sum() for part in relevances.values()))


def relative_error(got: Any, want: Any) -> float:
    """max |got - want| / max |want|; torch tensors and arrays alike; shapes must agree."""
    got, want = array(got), array(want)
    if got.shape != want.shape:
        raise ValueError(f"shapes differ: got {got.shape}, want {want.shape}")
    scale = np.abs(want).max(initial=0.0)
    difference = np.abs(got - want).max(initial=0.0)
    if not np.isfinite(difference):
        return float("inf")
    return float(difference / scale) if scale else float(difference)
