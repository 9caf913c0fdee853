"""Parameters that a patch froze: torch folds products by what requires grad, and so do we."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import lxt_like as lxt
from lxt_like.intercept.frozen import folded
from tests.support import random

BATCH, TOKENS, WIDTH = 3, 7, 16  # small: torch has a kernel of its own for such batches


class Net(nn.Module):
    """``body(self, x)`` for x [batch, tokens, width]."""

    def __init__(self, body: Callable[[Any, Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        self.body = body
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x).flatten(1)


def heads(width: int = WIDTH, **options: Any) -> nn.Module:
    return nn.MultiheadAttention(width, 4, **options)


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(random(*shape, seed=3, dtype=torch.float32))


def turned(x: Tensor) -> Tensor:
    """Not contiguous, of the same shape."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def encoder(width: int = WIDTH, **options: Any) -> nn.Module:
    return nn.TransformerEncoderLayer(width, 4, 2 * width, **options)


def split(x: Tensor) -> Tensor:
    """[batch, heads, tokens, width of a head]"""
    return x.unflatten(-1, (4, -1)).transpose(1, 2)


def decode(m: Any, x: Tensor) -> Tensor:
    out: Tensor = m.a(x, x.flip(1))
    return out


MODELS: dict[str, Callable[[], Net]] = {
    "attention": lambda: Net(lambda m, x: m.a(x, x, x)[0], a=heads(batch_first=True)),
    "attention, fused": lambda: Net(
        lambda m, x: m.a(x, x, x, need_weights=False)[0], a=heads(batch_first=True)
    ),
    "attention, tokens first": lambda: Net(
        lambda m, x: m.a(*[x.transpose(0, 1)] * 3)[0].transpose(0, 1), a=heads()
    ),
    "cross attention": lambda: Net(
        lambda m, x: m.a(x, x[:, ::2], x[:, ::2])[0], a=heads(batch_first=True, bias=False)
    ),
    "encoder layer": lambda: Net(lambda m, x: m.a(x), a=encoder(batch_first=True)),
    "decoder layer": lambda: Net(
        decode, a=nn.TransformerDecoderLayer(WIDTH, 4, 2 * WIDTH, batch_first=True)
    ),
    "linear": lambda: Net(lambda m, x: m.a(turned(x)), a=nn.Linear(WIDTH, 3)),
    "linear of a view": lambda: Net(
        lambda m, x: F.linear(turned(x), m.w.mT, m.c), w=parameter(WIDTH, 3), c=parameter(3)
    ),
    "parametrized": lambda: Net(
        lambda m, x: m.a(turned(x)), a=parametrizations.weight_norm(nn.Linear(WIDTH, 3))
    ),
    "masked": lambda: Net(
        lambda m, x: F.linear(turned(x), (m.w * (m.w > 0)).clone()), w=parameter(3, WIDTH)
    ),
    "x @ w": lambda: Net(lambda m, x: turned(x) @ m.w, w=parameter(WIDTH, 3)),
    "w @ x": lambda: Net(lambda m, x: torch.matmul(m.w, x), w=parameter(3, TOKENS)),
    "w @ x.mT": lambda: Net(lambda m, x: torch.matmul(m.w, x.mT), w=parameter(3, WIDTH)),
    "x.__rmatmul__(w)": lambda: Net(lambda m, x: x.mT.__rmatmul__(m.w), w=parameter(3, WIDTH)),
    "x @ v": lambda: Net(lambda m, x: turned(x) @ m.w, w=parameter(WIDTH)),
    "v @ x": lambda: Net(lambda m, x: m.w @ x, w=parameter(TOKENS)),
    "hypernetwork": lambda: Net(
        lambda m, x: F.linear(turned(x), m.a(m.at).view(3, WIDTH)),
        a=nn.Linear(4, 3 * WIDTH),
        at=torch.ones(4),
    ),
    "mask": lambda: Net(
        lambda m, x: F.scaled_dot_product_attention(*[split(x)] * 3, m.w),
        w=parameter(TOKENS, TOKENS),
    ),
    "mask, a view": lambda: Net(
        lambda m, x: F.scaled_dot_product_attention(*[split(x)] * 3, 2 * m.w[:TOKENS]),
        w=parameter(TOKENS + 1, TOKENS),
    ),
}


def values(model: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = model(x.clone().requires_grad_().clone())
    return out.detach()


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp", "epsilon"])
@pytest.mark.parametrize("name", MODELS)
def test_the_forward_is_bit_equal(name: str, composite: str) -> None:
    model = MODELS[name]().eval()
    for seed in range(3):
        x = random(BATCH, TOKENS, WIDTH, seed=seed, dtype=torch.float32)
        plain = values(model, x)
        with lxt.patch(model, composite):
            assert torch.equal(values(model, x), plain)
            with lxt.patch(model, "attnlrp"):
                assert torch.equal(values(model, x), plain)
        for ledger in (False, True):
            got = lxt.attribute(model, x, 0, composite, ledger=ledger)
            assert torch.equal(got.output, plain)


@pytest.mark.parametrize("make", [encoder, heads])
def test_large_ones_are_bit_equal(make: Callable[..., nn.Module]) -> None:
    """From some size on, torch's kernels for batches and for matrices are others."""
    model = make(132, batch_first=True).eval()
    whole = Net((lambda m, x: m.a(x)) if make is encoder else lambda m, x: m.a(x, x, x)[0], a=model)
    x = random(5, 17, 132, dtype=torch.float32)
    plain = values(whole, x)
    with lxt.patch(whole):
        assert torch.equal(values(whole, x), plain)


@pytest.mark.parametrize("name", ["linear", "x @ w", "w @ x.mT"])
def test_what_the_user_froze_is_not_folded(name: str) -> None:
    """Some parameters require grad, this one did not before the patch either."""
    model = MODELS[name]().eval().requires_grad_(False)
    model.other = nn.Linear(2, 2)
    for seed in range(3):
        x = random(BATCH, TOKENS, WIDTH, seed=seed, dtype=torch.float32)
        plain = values(model, x)
        with lxt.patch(model):
            assert torch.equal(values(model, x), plain)


@pytest.mark.parametrize("shape", [(3, 5, 9), (2, 3, 5, 9), (0, 5, 9)])
@pytest.mark.parametrize("contiguous", [True, False])
def test_folding_is_torchs_own(shape: tuple[int, ...], contiguous: bool) -> None:
    x = random(*shape, dtype=torch.float32)
    x = x if contiguous else x.mT.contiguous().mT
    for w in (random(9, 4), random(9), random(4, 5), random(5)):
        w = w.float().requires_grad_()
        a, b = (x, w) if w.shape[0] == 9 else (w, x)
        want = torch.matmul(a, b)
        got = folded(a, b)
        assert torch.equal(got, want)
        assert got.stride() == want.stride()
