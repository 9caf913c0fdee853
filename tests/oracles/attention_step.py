"""Self-attention as a step of a whole-model oracle, with RoPE where the model has it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tests.oracles import attention as attention_oracle
from tests.oracles import linear as linear_oracle
from tests.oracles.arrays import Array, Composite
from tests.oracles.steps import Books


@dataclass
class Rotary:
    """RoPE of [heads, tokens, d]: a linear map without bias for each position.

    cos, sin: [tokens, d] with both halves filled; y = x cos + (-x2, x1) sin for x = (x1, x2).
    """

    cos: Array
    sin: Array

    def __post_init__(self) -> None:
        d = self.cos.shape[-1]
        turn = np.zeros((d, d))
        turn[: d // 2, d // 2 :] = -np.eye(d // 2)
        turn[d // 2 :, : d // 2] = np.eye(d // 2)
        self.maps = [
            np.diag(cos) + np.diag(sin) @ turn for cos, sin in zip(self.cos, self.sin, strict=True)
        ]

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.stack([x[:, t] @ M.T for t, M in enumerate(self.maps)], axis=1)

    def relevance(self, R: Array) -> Array:
        parts = [
            linear_oracle.linear(self.x[:, t], M, None, R[:, t])["x"]
            for t, M in enumerate(self.maps)
        ]
        return np.stack(parts, axis=1)


@dataclass
class Attention:
    """softmax(q k^T / sqrt d) v from projected q, k, v [tokens, heads * d]."""

    heads: int
    kv_heads: int
    composite: Composite
    books: Books
    causal: bool = False
    rotary: tuple[Array, Array] | None = None

    def forward(self, q: Array, k: Array, v: Array) -> Array:
        self.q, self.k, self.v = (
            np.stack(np.split(t, n, axis=-1))
            for t, n in ((q, self.heads), (k, self.kv_heads), (v, self.kv_heads))
        )
        if self.rotary is not None:
            self.turns = Rotary(*self.rotary), Rotary(*self.rotary)
            self.q, self.k = (
                turn.forward(t) for turn, t in zip(self.turns, (self.q, self.k), strict=True)
            )
        group = self.heads // self.kv_heads
        outputs = []
        for h in range(self.heads):
            scores = self.q[h] @ self.k[h // group].T / math.sqrt(self.q.shape[-1])
            if self.causal:
                scores[np.triu(np.ones(scores.shape, dtype=bool), k=1)] = -np.inf
            outputs.append(attention_oracle.softmax_values(scores) @ self.v[h // group])
        return np.concatenate(outputs, axis=-1)

    def relevance(self, R: Array) -> tuple[Array, Array, Array]:
        parts = attention_oracle.attention(
            self.q,
            self.k,
            self.v,
            np.stack(np.split(R, self.heads, axis=-1)),
            causal=self.causal,
            composite=self.composite,
        )
        self.books.entries["softmax"] += float(parts["softmax"].sum())
        R_q, R_k = parts["q"], parts["k"]
        if self.rotary is not None:
            R_q, R_k = (
                turn.relevance(R_t) for turn, R_t in zip(self.turns, (R_q, R_k), strict=True)
            )
        joined = [np.concatenate(list(t), axis=-1) for t in (R_q, R_k, parts["v"])]
        return joined[0], joined[1], joined[2]
