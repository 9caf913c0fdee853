"""Oracles of normalisations: the scale is a constant, the mean subtraction linear, beta a bias."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.arrays import Relevances, array, share


def layer_norm(x: Any, weight: Any, beta: Any, R: Any, *, eps: float = 1e-5) -> Relevances:
    """y_i = w_i (x_i - mean x) / sigma + beta_i over the last axis, sigma held constant.

    So y is linear in x with connections w_i (delta_ij - 1/n) / sigma.

    Returns:
        "x" like x; "bias" like R: what beta took.
    """
    x, w, R = array(x), array(weight), array(R)
    b = np.zeros_like(w) if beta is None else array(beta)
    n = x.shape[-1]
    R_x, R_b = np.zeros_like(x), np.zeros_like(x)
    deviations = x - x.mean(axis=-1, keepdims=True)
    sigma = np.sqrt((deviations**2).mean(axis=-1, keepdims=True) + eps)
    for i in range(n):
        connections = w[i] * ((np.arange(n) == i) - 1.0 / n) / sigma
        s = share(R[..., i], w[i] * deviations[..., i] / sigma[..., 0] + b[i])
        R_x += connections * x * s[..., None]
        R_b[..., i] = b[i] * s
    return {"x": R_x, "bias": R_b}


def rms_norm(x: Any, weight: Any, R: Any, *, eps: float = 1e-6) -> Relevances:
    """y_i = w_i x_i / rms(x) over the last axis, rms held constant: one connection each."""
    x, w, R = array(x), array(weight), array(R)
    scale = w / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)
    return {"x": x * scale * share(R, x * scale)}


def group_norm(
    x: Any, groups: int, weight: Any, beta: Any, R: Any, *, eps: float = 1e-5
) -> Relevances:
    """GroupNorm of x [batch, channels, *space]: a layer norm over each group's values."""
    x, R = array(x), array(R)
    rows = (x.shape[0], groups, -1)
    per_value = (1, -1, *[1] * (x.ndim - 2))
    w = np.broadcast_to(array(weight).reshape(per_value), x.shape).reshape(rows)
    b = np.broadcast_to(array(beta).reshape(per_value), x.shape).reshape(rows)
    flat_x, flat_R = x.reshape(rows), R.reshape(rows)
    R_x, R_b = np.zeros_like(flat_x), np.zeros_like(flat_x)
    for at in np.ndindex(*flat_x.shape[:2]):
        part = layer_norm(flat_x[at], w[at], b[at], flat_R[at], eps=eps)
        R_x[at], R_b[at] = part["x"], part["bias"]
    return {"x": R_x.reshape(x.shape), "bias": R_b.reshape(x.shape)}


def batch_norm(
    x: Any, mean: Any, variance: Any, weight: Any, beta: Any, R: Any, *, eps: float = 1e-5
) -> Relevances:
    """BatchNorm in eval, x [batch, channels, *space]: a scale w / sigma and a constant shift."""
    x, R = array(x), array(R)
    per_value = (1, -1, *[1] * (x.ndim - 2))
    scale = (array(weight) / np.sqrt(array(variance) + eps)).reshape(per_value)
    shift = array(beta).reshape(per_value) - array(mean).reshape(per_value) * scale
    s = share(R, x * scale + shift)
    return {"x": x * scale * s, "bias": shift * s}
