"""Weights and biases that the model makes of its input: products and sums, by another name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, inline, random

Body = Callable[[Any, Tensor], Tensor]
COMPOSITE = pytest.mark.parametrize("composite", [*COMPOSITES, "epsilon", "epsilon_alpha2_beta1"])

C = random(4, seed=3)  # a constant bias
K = random(4, 4, seed=4)  # constant weights, or a constant input


def weight(m: Any, x: Tensor) -> Tensor:
    made: Tensor = m.b(x)[0]
    return made


def bias(m: Any, x: Tensor) -> Tensor:
    made: Tensor = m.c(m.a(x))[0, 0]
    return made


def image(x: Tensor) -> Tensor:
    return x.transpose(1, 2)


def kernel(w: Tensor) -> Tensor:
    return w[:, :, None]


# as one function, and with the bias written out
MADE: dict[str, tuple[Body, Body]] = {
    "linear(x, W(x), c)": (
        lambda m, x: F.linear(m.a(x), weight(m, x), C),
        lambda m, x: m.a(x) @ weight(m, x).mT + C,
    ),
    "linear by name": (
        lambda m, x: F.linear(input=m.a(x), weight=weight(m, x), bias=C),
        lambda m, x: m.a(x) @ weight(m, x).mT + C,
    ),
    "linear(x, W(x), b(x))": (
        lambda m, x: F.linear(m.a(x), weight(m, x), bias(m, x)),
        lambda m, x: m.a(x) @ weight(m, x).mT + bias(m, x),
    ),
    "linear(x, W, b(x))": (
        lambda m, x: F.linear(m.a(x), K, bias(m, x)),
        lambda m, x: F.linear(m.a(x), K) + bias(m, x),
    ),
    "linear(k, W(x), c)": (
        lambda m, x: F.linear(K, weight(m, x), C)[None],
        lambda m, x: torch.addmm(C, K, weight(m, x).mT)[None],
    ),
    "linear(k, W(x), b(x))": (
        lambda m, x: F.linear(K, weight(m, x), bias(m, x))[None],
        lambda m, x: (K @ weight(m, x).mT + bias(m, x))[None],
    ),
    "linear(k, W, b(x))": (
        lambda m, x: F.linear(K, K, bias(m, x))[None],
        lambda m, x: (K @ K.mT + bias(m, x))[None],
    ),
    "conv1d(x, W(x), c)": (
        lambda m, x: F.conv1d(image(m.a(x)), kernel(weight(m, x)), C),
        lambda m, x: image(m.a(x) @ weight(m, x).mT) + C[:, None],
    ),
    "conv1d(k, W(x), c)": (
        lambda m, x: F.conv1d(K[None], kernel(weight(m, x)), C, 1),
        lambda m, x: torch.addmm(C[:, None], weight(m, x), K)[None],
    ),
    "conv1d of one(k, W(x), c)": (
        lambda m, x: F.conv1d(K, kernel(weight(m, x)), C)[None],
        lambda m, x: torch.addmm(C[:, None], weight(m, x), K)[None],
    ),
    "conv1d(x, W, b(x))": (
        lambda m, x: F.conv1d(image(m.a(x)), kernel(K), bias(m, x), stride=1),
        lambda m, x: F.conv1d(image(m.a(x)), kernel(K)) + bias(m, x)[:, None],
    ),
    "conv_transpose1d(x, W(x), c)": (
        lambda m, x: F.conv_transpose1d(image(m.a(x)), kernel(weight(m, x)), C),
        lambda m, x: image(m.a(x) @ weight(m, x)) + C[:, None],
    ),
    "bilinear(x, y, W, b(x))": (
        lambda m, x: F.bilinear(m.a(x), m.c(x), K[None].expand(4, -1, -1), bias(m, x)),
        lambda m, x: F.bilinear(m.a(x), m.c(x), K[None].expand(4, -1, -1)) + bias(m, x),
    ),
    "bilinear(x, k, W, b(x))": (
        lambda m, x: F.bilinear(m.a(x), K[None], K[None].expand(4, -1, -1), bias(m, x)),
        lambda m, x: F.bilinear(m.a(x), K[None], K[None].expand(4, -1, -1)) + bias(m, x),
    ),
    "bilinear(x, k, W(x), c)": (
        lambda m, x: F.bilinear(m.a(x), K[None], stack(m, x), C),
        lambda m, x: mixed(m.a(x), K[None], stack(m, x)) + C,
    ),
    "bilinear(k, x, W(x))": (
        lambda m, x: F.bilinear(K[None], m.a(x), weight=stack(m, x)),
        lambda m, x: mixed(K[None], m.a(x), stack(m, x)),
    ),
    "bilinear(k, k, W(x), c)": (
        lambda m, x: F.bilinear(K[None], 2 * K[None], stack(m, x), bias=C),
        lambda m, x: mixed(K[None], 2 * K[None], stack(m, x)) + C,
    ),
    "bilinear(x, y, W(x), b(x))": (
        lambda m, x: F.bilinear(m.a(x), m.c(x), stack(m, x), bias(m, x)),
        lambda m, x: mixed(m.a(x), m.c(x), stack(m, x)) + bias(m, x),
    ),
    "bilinear of vectors(x, y, W(x))": (
        lambda m, x: F.bilinear(m.a(x)[0, 0], m.c(x)[0, 1], stack(m, x))[None, None],
        lambda m, x: mixed(m.a(x)[0, :1], m.c(x)[0, 1:2], stack(m, x))[None],
    ),
    "addmm(b(x), x, W)": (
        lambda m, x: torch.addmm(bias(m, x), m.a(x)[0], K, beta=0.5, alpha=2)[None],
        lambda m, x: 0.5 * bias(m, x) + m.a(x) @ (2 * K),
    ),
    "addmm(b(x), x, W(x))": (
        lambda m, x: torch.addmm(bias(m, x), m.a(x)[0], weight(m, x), beta=0.5, alpha=2)[None],
        lambda m, x: 0.5 * bias(m, x) + 2 * (m.a(x) @ weight(m, x)),
    ),
    "baddbmm(b(x), x, W(x))": (
        lambda m, x: torch.baddbmm(bias(m, x), m.a(x), weight(m, x)[None]),
        lambda m, x: bias(m, x) + m.a(x) @ weight(m, x),
    ),
    "addbmm(b(x), x, W)": (
        lambda m, x: torch.addbmm(bias(m, x), m.a(x), K[None])[None],
        lambda m, x: bias(m, x) + m.a(x) @ K,
    ),
    "addmv(b(x), K, v(x))": (
        lambda m, x: torch.addmv(bias(m, x), K, m.a(x)[0, 0])[None, None],
        lambda m, x: (bias(m, x) + K @ m.a(x)[0, 0])[None, None],
    ),
}


def stack(m: Any, x: Tensor) -> Tensor:
    return weight(m, x)[None] * K[:, None]


def mixed(a: Tensor, b: Tensor, w: Tensor) -> Tensor:
    """y_k = a W_k b by matrix products: first with a, then with b."""
    rows = torch.stack([a @ w[k] for k in range(len(w))], -2)
    return (rows @ b[..., None])[..., 0]


@COMPOSITE
@pytest.mark.parametrize("name", MADE)
def test_what_is_made_of_the_input(name: str, composite: str) -> None:
    if name == "bilinear(x, k, W, b(x))" and composite not in COMPOSITES:
        pytest.skip("refused: F.bilinear is not ruled as a map")
    if "(k, W(x), c)" in name and "conv" in name and composite == "epsilon_alpha2_beta1":
        pytest.skip("other rules for convolutions than for products")
    called, written = (inline(body, 4) for body in MADE[name])
    for model in (called, written):
        torch.manual_seed(0)
        model.c = nn.Linear(4, 4).double()
        model.eval()
    x = random(1, 4, 4)
    got, want = (account(model, x, composite=composite) for model in (called, written))
    assert relative_error(got.relevance, want.relevance) < 1e-10
    declared = [sum(a.ledger.entries.values()) for a in (got, want)]
    assert relative_error(declared[0], declared[1]) < 1e-10
