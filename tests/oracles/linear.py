"""Oracles of linear operations: each connection's contribution w_ji x_i takes its share of R_j."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from tests.oracles.arrays import Array, Relevances, array, share


def linear(x: Any, weight: Any, bias: Any, R: Any, *, epsilon: float = 0.0) -> Relevances:
    """R_i = sum_j w_ji x_i / (z_j + epsilon sign z_j) R_j, z = W x + b.

    Args:
        x, R: [..., n_in], [..., n_out]. weight: [n_out, n_in]. bias: [n_out] or None.

    Returns:
        "x" like x; "bias" and "epsilon" like R: what the bias and the stabilizer took.
    """
    x, W, R = array(x), array(weight), array(R)
    b = np.zeros(W.shape[0]) if bias is None else array(bias)
    R_x, R_b, R_e = np.zeros_like(x), np.zeros_like(R), np.zeros_like(R)
    for j in range(W.shape[0]):
        contributions = W[j] * x
        z = contributions.sum(axis=-1) + b[j]
        s = share(R[..., j], z, epsilon)
        R_x += contributions * s[..., None]
        R_b[..., j] = b[j] * s
        R_e[..., j] = epsilon * np.where(z >= 0, 1.0, -1.0) * s
    return {"x": R_x, "bias": R_b, "epsilon": R_e}


def convolution(
    x: Any,
    weight: Any,
    bias: Any,
    R: Any,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    transposed: bool = False,
    epsilon: float = 0.0,
) -> Relevances:
    """The epsilon rule for a convolution of any number of spatial dimensions, by its connections.

    Args:
        x: [batch, c_in, *space]. R: [batch, c_out, *space_out].
        weight: [c_out, c_in / groups, *kernel]; transposed: [c_in, c_out / groups, *kernel].

    Returns:
        As `linear`.
    """
    x, W, R = array(x), array(weight), array(R)
    b = np.zeros(R.shape[1]) if bias is None else array(bias)
    connections = list(
        _connections(x.shape, W.shape, R.shape, stride, padding, dilation, groups, transposed)
    )
    z = np.zeros_like(R) + b.reshape(1, -1, *[1] * (x.ndim - 2))
    for source, sink, tap in connections:
        z[:, *sink] += W[tap] * x[:, *source]
    s = share(R, z, epsilon)
    R_x = np.zeros_like(x)
    for source, sink, tap in connections:
        R_x[:, *source] += W[tap] * x[:, *source] * s[:, *sink]
    sign = np.where(z >= 0, 1.0, -1.0)
    R_b = s * b.reshape(1, -1, *[1] * (x.ndim - 2))
    return {"x": R_x, "bias": R_b, "epsilon": epsilon * sign * s}


def _connections(
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    y_shape: Sequence[int],
    stride: int,
    padding: int,
    dilation: int,
    groups: int,
    transposed: bool,
) -> Any:
    """(input index, output index, weight index) of every connection, batch left out."""
    # a transposed convolution runs the connections of a convolution the other way round
    large, small = (y_shape, x_shape) if transposed else (x_shape, y_shape)
    per_group = w_shape[0] // groups
    for c_small, c_in_group in product(range(w_shape[0]), range(w_shape[1])):
        c_large = (c_small // per_group) * w_shape[1] + c_in_group
        for at in product(*map(range, small[2:])):
            for tap in product(*map(range, w_shape[2:])):
                spot = [p * stride - padding + t * dilation for p, t in zip(at, tap, strict=True)]
                if any(not 0 <= p < n for p, n in zip(spot, large[2:], strict=True)):
                    continue
                far, near = (c_large, *spot), (c_small, *at)
                source, sink = (near, far) if transposed else (far, near)
                yield source, sink, (c_small, c_in_group, *tap)


def add(parts: Sequence[Any], R: Any) -> list[Array]:
    """Sum of same-shaped parts (residual, bias, positions): each takes its own value's share."""
    arrays = [array(part) for part in parts]
    s = share(R, np.sum(arrays, axis=0))
    return [part * s for part in arrays]
