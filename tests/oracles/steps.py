"""The steps that whole-model oracles are made of: forward keeps values, backward relevances.

One sequence at a time, activations [tokens, width], no padding, no batch. Every step has
`forward(x) -> y` and `relevance(R_y) -> R_x`; what stays behind is booked in the `Books`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from tests.oracles import linear as linear_oracle
from tests.oracles import norms as norms_oracle
from tests.oracles.arrays import Array, array


class Step(Protocol):
    """One link of a chain: forward first, then the relevance of what it saw."""

    def forward(self, x: Array) -> Array: ...

    def relevance(self, R: Array) -> Array: ...


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
        z: Array = x @ self.weight.T
        return z if self.bias is None else z + self.bias

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
        y: Array = centred / sigma * self.weight + self.bias
        return y

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
        y: Array = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.eps) * self.weight
        return y

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
    return array(x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))))


def gelu_tanh(x: Array) -> Array:
    """GELU's tanh approximation, Hugging Face's gelu_new."""
    return array(x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def silu(x: Array) -> Array:
    """x sigmoid(x)."""
    return array(x / (1 + np.exp(-x)))


def explain_chain(
    steps: Sequence[tuple[str | None, Step]], x: Array, target: int, books: Books
) -> tuple[Array, Array]:
    """Run the steps, then send the logit `target` back through them.

    Named steps are layers: the relevance at their input is kept in the books.

    Returns:
        Relevance at x; the logits.
    """
    for _, step in steps:
        x = step.forward(x)
    R = np.zeros_like(x)
    R[0, target] = x[0, target]
    for name, step in reversed(steps):
        R = step.relevance(R)
        if name is not None:
            books.layers[name] = R
    return R, x[0]
