"""Oracles of what makes attention: softmax, products of two activations, softmax(q k) v."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.oracles.arrays import Array, Composite, Relevances, array, share


def softmax_values(x: Any) -> Array:
    """softmax over the last axis; -inf gives 0, a row of only -inf gives zeros."""
    x = array(x)
    top = x.max(axis=-1, keepdims=True)
    e = np.exp(x - np.where(np.isfinite(top), top, 0.0))
    norm = e.sum(axis=-1, keepdims=True)
    return np.where(norm > 0, e / np.where(norm > 0, norm, 1.0), 0.0)


def softmax(x: Any, R: Any) -> Relevances:
    """The Taylor rule (AttnLRP, Prop. 3.1): R_i = x_i (R'_i - s_i sum_j R'_j), last axis.

    The rest belongs to the expansion's constant, s_j - sum_i (ds_j / dx_i) x_i: of the output j
    this is R'_j (1 - x_j + sum_i s_i x_i).

    Returns:
        "x" like x (0 where x is -inf); "softmax" like R: what the constant took.
    """
    x, R = array(x), array(R)
    s = softmax_values(x)
    finite = np.where(np.isfinite(x), x, 0.0)
    R_x, R_c = np.zeros_like(x), np.zeros_like(x)
    for row in np.ndindex(*x.shape[:-1]):
        mean = sum(s[row][i] * finite[row][i] for i in range(x.shape[-1]))
        for i in range(x.shape[-1]):
            R_x[row][i] = finite[row][i] * (R[row][i] - s[row][i] * R[row].sum())
            R_c[row][i] = R[row][i] * (1.0 - finite[row][i] + mean)
    return {"x": R_x, "softmax": R_c}


def matmul(a: Any, b: Any, R: Any) -> Relevances:
    """Uniform rule for O = A B: half of each term a_nk b_km's share to either factor.

    Args:
        a, b, R: [n, k], [k, m], [n, m].
    """
    a, b, R = array(a), array(b), array(R)
    R_a, R_b = np.zeros_like(a), np.zeros_like(b)
    for n, m in np.ndindex(*R.shape):
        terms = a[n] * b[:, m]
        part = terms * share(R[n, m], terms.sum())
        R_a[n] += part / 2
        R_b[:, m] += part / 2
    return {"a": R_a, "b": R_b}


def attention(
    q: Any,
    k: Any,
    v: Any,
    R: Any,
    *,
    scale: float | None = None,
    bias: Any = None,
    causal: bool = False,
    composite: Composite = "attnlrp",
) -> Relevances:
    """softmax(scale q k^T + bias) v of one sample.

    AttnLRP: uniform at A v (half to v, half to A), the Taylor rule at softmax, each score's
    relevance to its summands in proportion (q k^T and the bias), uniform again at q k^T.
    CP-LRP: A is constant, everything goes to v.

    Args:
        q: [heads, n, d]; k: [kv_heads, m, d]; v: [kv_heads, m, e], query head h reading
            key/value head h // (heads / kv_heads). R: [heads, n, e].
        scale: None: d ** -0.5. bias: broadcastable to [heads, n, m] or None; -inf masks.
        causal: query i sees keys up to i.

    Returns:
        "q", "k", "v" like q, k, v; "bias" [heads, n, m] (0 where masked); "softmax"
        [heads, n, m]: what the Taylor constant took.
    """
    q, k, v, R = array(q), array(k), array(v), array(R)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    heads, n, m = q.shape[0], q.shape[1], k.shape[1]
    B = np.zeros((heads, n, m)) + (0.0 if bias is None else array(bias))
    if causal:
        B[:, np.triu(np.ones((n, m), dtype=bool), k=1)] = -np.inf
    out = {name: np.zeros_like(t) for name, t in (("q", q), ("k", k), ("v", v))}
    out |= {"bias": np.zeros_like(B), "softmax": np.zeros_like(B)}
    for h in range(heads):
        g = h // (heads // k.shape[0])
        for i in range(n):
            products = scale * (k[g] @ q[h, i])
            x = products + B[h, i]
            A = softmax_values(x)
            s_out = share(R[h, i], A @ v[g])
            terms = A[:, None] * v[g] * s_out  # [m, e]: the share of each A_ij v_je
            if composite == "cp_lrp":
                out["v"][g] += terms
                continue
            out["v"][g] += terms / 2
            R_A = terms.sum(axis=1) / 2
            out["softmax"][h, i] = softmax(x, R_A)["softmax"]
            # the Taylor rule per unit of score, which needs no division by a score near 0
            per_score = R_A - A * R_A.sum()
            for j in np.flatnonzero(np.isfinite(x)):
                qk = scale * q[h, i] * k[g, j] * per_score[j]
                out["q"][h, i] += qk / 2
                out["k"][g, j] += qk / 2
                out["bias"][h, i, j] = B[h, i, j] * per_score[j]
    return out


def product(a: Any, b: Any, R: Any) -> Relevances:
    """Uniform rule for an elementwise product of two activations: half to either."""
    del a, b  # whatever their values
    return {"a": array(R) / 2, "b": array(R) / 2}
