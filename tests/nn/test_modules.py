"""Modules with the rules built in: what comes in is explained, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import nn as ruled
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, random


def gated() -> nn.Module:
    return nn.Sequential(ruled.RMSNorm(4), ruled.GatedMLP(4, 8), ruled.Linear(4, 4))


def attending() -> nn.Module:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = ruled.LayerNorm(4)
            self.attention = ruled.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(x)
            out: Tensor = self.attention(query=x, key=x, value=x, need_weights=False)[0]
            return out

    return Attending()


def by_function() -> nn.Module:
    class ByFunction(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = ruled.LayerNorm(4)

        def forward(self, x: Tensor) -> Tensor:
            return ruled.scaled_dot_product_attention(self.norm(x), x, x)

    return ByFunction()


HEADS: dict[str, Callable[[], nn.Module]] = {
    "norm and activation": lambda: nn.Sequential(ruled.LayerNorm(4), ruled.GELU()),
    "gated": gated,
    "attention": attending,
    "attention as a function": by_function,
}


def under(head: Any, composite: str) -> None:
    for module in head.modules():
        if hasattr(module, "composite"):
            module.composite = composite


def explained(head: nn.Module, h: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(head(h).square().sum(), h)
    return found


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("source", ["layer", "embedding", "layer of an embedding", "parameter"])
def test_what_comes_from_trainable_layers(name: str, source: str, composite: str) -> None:
    """Its gradient is that of a leaf of the same values."""
    torch.manual_seed(0)
    head = HEADS[name]().double()
    under(head, composite)
    body, table, ids = nn.Linear(4, 4).double(), nn.Embedding(9, 4).double(), torch.arange(3)[None]
    h = {
        "layer": lambda: body(random(1, 3, 4)),
        "embedding": lambda: table(ids),
        "layer of an embedding": lambda: body(table(ids)),
        "parameter": lambda: body.weight[None] * 2,
    }[source]()
    leaf = h.detach().requires_grad_()
    wanted = explained(head, leaf)
    for module in head.modules():  # a no-op would pass: the plain gradient is another one
        if hasattr(module, "composite"):
            module.composite = "gradient"
    plain = explained(head, leaf)
    under(head, composite)
    assert relative_error(plain, wanted) > 1e-2
    assert torch.equal(explained(head, h), wanted)


def test_a_weight_made_inside_is_a_weight() -> None:
    """As without: masked by what the module itself does, behind a signal of trainable layers."""
    torch.manual_seed(0)
    masked = ruled.Linear(4, 4).double()
    mask = (random(4, 4, seed=5) > 0).double()
    torch.nn.utils.parametrize.register_parametrization(masked, "weight", Masked(mask))
    plain = nn.Linear(4, 4).double()
    plain.weight.data, plain.bias.data = masked.weight.detach(), masked.bias.detach()
    h = nn.Linear(4, 4).double()(random(2, 4))
    leaf = h.detach().requires_grad_()
    assert relative_error(explained(masked, h), explained(plain, leaf)) < 1e-12


class Masked(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, w: Tensor) -> Tensor:
        return w * self.mask


def test_a_patch_around_them_says_what_is_explained() -> None:
    """Inside, an argument made of parameters alone is the weight that it is."""

    class Gained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Parameter(random(4))
            self.sigmoid = ruled.Sigmoid()
            self.out = nn.Linear(4, 2).double()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.out(x * self.sigmoid(self.gate * 2))
            return out

    model = Gained()
    grads = []
    for freeze in (True, False):
        x = random(1, 4).requires_grad_()
        with lxt.patch(model, freeze=freeze):
            model(x)[0, 0].backward()
        grads.append(x.grad)
    assert torch.equal(grads[0], grads[1])


def test_without_gradients_they_are_the_plain_modules() -> None:
    x = random(2, 4, dtype=torch.float32)
    head, plain = ruled.LayerNorm(4), nn.LayerNorm(4)
    with torch.no_grad():
        assert torch.equal(head(x), plain(x))
    assert torch.equal(head(x), plain(x))
    assert torch.equal(torch.vmap(head)(x), torch.vmap(plain)(x))
