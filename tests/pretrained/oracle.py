"""LRP on a chain of convolutions, ReLUs and 2 x 2 sums in numpy, passed layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def patches(x: Array, height: int, width: int) -> Array:
    """[n, c, h, w] -> [n, rows, columns, c * height * width], stride 1, no padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(2, 3))
    n, c, rows, columns = windows.shape[:4]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n, rows, columns, c * height * width)


def back(shares: Array, shape: tuple[int, ...], height: int, width: int) -> Array:
    """The adjoint of :func:`patches`: every pixel sums what its windows hold for it."""
    n, c, _, _ = shape
    rows, columns = shares.shape[1:3]
    shares = shares.reshape(n, rows, columns, c, height, width)
    out = np.zeros(shape)
    for i in range(height):
        for j in range(width):
            out[:, :, i : i + rows, j : j + columns] += shares[..., i, j].transpose(0, 3, 1, 2)
    return out


def _over(numerator: Array, denominator: Array) -> Array:
    return np.divide(numerator, denominator, np.zeros_like(numerator), where=denominator != 0)


def epsilon(a: Array, w: Array, b: Array, r: Array, eps: float) -> Array:
    """Relevance of each window's pixels [.., k] from that of the filters [.., o]."""
    z = a @ w.T + b
    return a * ((r / (z + eps * np.where(z < 0, -1.0, 1.0))) @ w)


def alpha_beta(a: Array, w: Array, b: Array, r: Array, alpha: float, beta: float) -> Array:
    """Contributions filter by filter, by their sign."""
    out = np.zeros_like(a)
    for o in range(len(w)):
        c = a * w[o]
        up, down = np.maximum(c, 0), np.minimum(c, 0)
        at_up = _over(r[..., o], up.sum(-1) + max(b[o], 0.0))
        at_down = _over(r[..., o], down.sum(-1) + min(b[o], 0.0))
        out += alpha * up * at_up[..., None] - beta * down * at_down[..., None]
    return out


def flat(a: Array, w: Array, b: Array, r: Array) -> Array:
    """Equal shares over the window."""
    return np.broadcast_to(r.sum(-1, keepdims=True) / a.shape[-1], a.shape)


def relevance(
    layers: list[tuple[str, Any, Any]], x: Array, target: Array, rules: list[Any]
) -> Array:
    """R at x of the logits ``target``; ``rules``: (a, w, b, R) -> R for each convolution."""
    values = [x]
    for kind, weight, bias in layers:
        a = values[-1]
        if kind == "conv":
            o, _, height, width = weight.shape
            z = patches(a, height, width) @ weight.reshape(o, -1).T + bias
            values.append(z.transpose(0, 3, 1, 2))
        elif kind == "relu":
            values.append(np.maximum(a, 0))
        else:
            n, c, h, w = a.shape
            values.append(a.reshape(n, c, h // 2, 2, w // 2, 2).sum((3, 5)) / 2)
    logits = values[-1][:, :, 0, 0]
    r = np.zeros_like(values[-1])
    n = np.arange(len(x))
    r[n, target, 0, 0] = logits[n, target]
    left = list(rules)
    for (kind, weight, bias), a, z in zip(
        reversed(layers), reversed(values[:-1]), reversed(values[1:]), strict=True
    ):
        if kind == "conv":
            o, _, height, width = weight.shape
            windows = patches(a, height, width)
            shares = left.pop()(windows, weight.reshape(o, -1), bias, r.transpose(0, 2, 3, 1))
            r = back(shares, a.shape, height, width)
        elif kind == "sum":
            r = a * np.repeat(np.repeat(_over(r, z) / 2, 2, 2), 2, 3)
    return r
