"""The steps that whole-model oracles are made of: forward keeps values, backward relevances.

One sequence at a time, activations [tokens, width], no padding, no batch. Every step has
`forward(x) -> y` and `relevance(R_y) -> R_x`; what stays behind is booked in the `Books`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tests.oracles import attention as attention_oracle
from tests.oracles import linear as linear_oracle
from tests.oracles import norms as norms_oracle
from tests.oracles.arrays import Array, Composite, share


@dataclass
class Books:
    """Where relevance went that did not reach the input.

    Attributes:
        entries: by cause ("bias", "softmax", ...).
        biases: the bias entry by parameter name.
        layers: relevance at the input of each layer, by the layer's module name.
    """

    entries: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    biases: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    layers: dict[str, Array] = field(default_factory=dict)

    def bias(self, name: str, part: Array) -> None:
        """Book what the bias parameter `name` took."""
        self.entries["bias"] += float(part.sum())
        self.biases[name] += float(part.sum())


@dataclass
class Weights:
    """The parameters of one model in float64 and the books of one explanation of it."""

    tensors: Mapping[str, Array]
    books: Books

    def linear(self, name: str) -> Linear:
        """The Linear `name`, weight [out, in], with or without a bias."""
        bias = f"{name}.bias"
        return Linear(
            bias, self.tensors[f"{name}.weight"], self.tensors.get(bias), books=self.books
        )

    def conv1d(self, name: str) -> Linear:
        """GPT-2's Conv1D `name`: a linear with weight [in, out]."""
        bias = f"{name}.bias"
        return Linear(bias, self.tensors[f"{name}.weight"].T, self.tensors[bias], books=self.books)

    def layer_norm(self, name: str, eps: float) -> LayerNorm:
        """The LayerNorm `name`."""
        bias = f"{name}.bias"
        return LayerNorm(
            bias, self.tensors[f"{name}.weight"], self.tensors[bias], eps, books=self.books
        )

    def rms_norm(self, name: str, eps: float) -> RMSNorm:
        """The RMSNorm `name`."""
        return RMSNorm(self.tensors[f"{name}.weight"], eps)


@dataclass
class Linear:
    """z = W x + b; epsilon-0 rule."""

    bias_name: str
    weight: Array
    bias: Array | None
    books: Books

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.weight.T + (0.0 if self.bias is None else self.bias)

    def relevance(self, R: Array) -> Array:
        parts = linear_oracle.linear(self.x, self.weight, self.bias, R)
        if self.bias is not None:
            self.books.bias(self.bias_name, parts["bias"])
        return parts["x"]


@dataclass
class LayerNorm:
    """Scale constant, mean subtraction linear, beta a bias."""

    bias_name: str
    weight: Array
    bias: Array
    eps: float
    books: Books

    def forward(self, x: Array) -> Array:
        self.x = x
        centred = x - x.mean(axis=-1, keepdims=True)
        sigma = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.eps)
        return centred / sigma * self.weight + self.bias

    def relevance(self, R: Array) -> Array:
        parts = norms_oracle.layer_norm(self.x, self.weight, self.bias, R, eps=self.eps)
        self.books.bias(self.bias_name, parts["bias"])
        return parts["x"]


@dataclass
class RMSNorm:
    """Scale constant."""

    weight: Array
    eps: float

    def forward(self, x: Array) -> Array:
        self.x = x
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.eps) * self.weight

    def relevance(self, R: Array) -> Array:
        return norms_oracle.rms_norm(self.x, self.weight, R, eps=self.eps)["x"]


@dataclass
class Activation:
    """f with f(0) = 0: the identity rule hands everything on."""

    function: Callable[[Array], Array]

    def forward(self, x: Array) -> Array:
        return self.function(x)

    def relevance(self, R: Array) -> Array:
        return R


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
        return tuple(np.concatenate(list(t), axis=-1) for t in (R_q, R_k, parts["v"]))


@dataclass
class Residual:
    """y = x + f(x): each side takes the share of its value."""

    def forward(self, x: Array, branch: Array) -> Array:
        self.parts = x, branch
        return x + branch

    def relevance(self, R: Array) -> tuple[Array, Array]:
        x, branch = linear_oracle.add(self.parts, R)
        return x, branch


@dataclass
class Pick:
    """One token's row of the sequence."""

    token: int

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x[self.token : self.token + 1]

    def relevance(self, R: Array) -> Array:
        R_x = np.zeros(self.shape)
        R_x[self.token] = R[0]
        return R_x


def gelu(x: Array) -> Array:
    """x Phi(x) by erf."""
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh(x: Array) -> Array:
    """GELU's tanh approximation, Hugging Face's gelu_new."""
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: Array) -> Array:
    """x sigmoid(x)."""
    return x / (1 + np.exp(-x))


def one_hot(z: Array, index: int) -> Array:
    """The relevance that starts an explanation: z at `index` of the last axis, 0 elsewhere."""
    R = np.zeros_like(z)
    R[..., index] = z[..., index]
    return R


__all__ = [
    "Activation",
    "Attention",
    "Books",
    "LayerNorm",
    "Linear",
    "Pick",
    "RMSNorm",
    "Residual",
    "Rotary",
    "Weights",
    "gelu",
    "gelu_tanh",
    "one_hot",
    "share",
    "silu",
]
