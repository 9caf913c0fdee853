"""Explaining from the middle: what is handed in is where the explanation begins, and its end."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import lxt_like as lxt
from lxt_like.errors import UnruledError
from tests.models.tiny import build, inputs
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, draw, inline, random

EVERY_COMPOSITE = pytest.mark.parametrize("composite", [*COMPOSITES, "epsilon_plus"])

MAKERS: dict[str, Callable[[Tensor], Tensor]] = {
    "a linear layer": lambda h: h,
    "tanh": torch.tanh,
    "layer norm": lambda h: F.layer_norm(h, (6,)),
    "softmax": lambda h: h.softmax(-1),
    "product": lambda h: h * h.sigmoid(),
    "no rule": lambda h: torch.logcumsumexp(h, -1),
}


def trainable(*sizes: int) -> nn.Linear:
    layer: nn.Linear = draw(nn.Linear(*sizes)).double()
    return layer.requires_grad_()


def net() -> Any:
    return inline(lambda m, x: F.gelu(m.a(x)) * m.b(x).softmax(-1))


def relevance(model: nn.Module, h: Tensor, composite: str = "attnlrp") -> Tensor:
    """x * grad of ``h`` as it is handed in, with all that is behind it."""
    with lxt.patch(model, composite):
        (g,) = torch.autograd.grad(model(h)[:, 0].sum(), h, retain_graph=True)
    return (h * g).detach()


@EVERY_COMPOSITE
@pytest.mark.parametrize("maker", MAKERS)
def test_a_tensor_made_outside(maker: str, composite: str) -> None:
    """Whatever made it is not explained, and need have no rule."""
    model, h = net(), MAKERS[maker](trainable(4, 6)(random(2, 4)))
    assert h.requires_grad
    want = lxt.attribute(model, h.detach(), 0, composite).relevance
    assert relative_error(relevance(model, h, composite), want) < 1e-12


@EVERY_COMPOSITE
@pytest.mark.parametrize("part", ["bert.encoder.layer.0", "bert.encoder.layer.1", "classifier"])
def test_a_part_of_a_model(part: str, composite: str) -> None:
    """Its relevance is that of the part alone, with the plain gradient of all that follows."""
    model: Any = build("bert").double()
    x = model.get_input_embeddings()(inputs("bert")["input_ids"]).detach().requires_grad_()
    kept: list[Any] = []
    module = model.get_submodule(part)
    hook = module.register_forward_hook(lambda m, args, out: kept.append((args[0], out)))
    with lxt.patch(module, composite):
        score = model(inputs_embeds=x).logits[:, 0].sum()
        ((h, out),) = kept
        behind, got, arrived = torch.autograd.grad(score, [x, h, out])
    hook.remove()
    assert behind.abs().max() > 0
    leaf = h.detach().requires_grad_()
    with lxt.patch(module, composite):
        (want,) = torch.autograd.grad(module(leaf), leaf, arrived)
    assert relative_error(got, want) < 1e-12


def test_an_operation_without_a_rule_behind_it_is_an_error_still() -> None:
    model = inline(lambda m, x: torch.logcumsumexp(m.a(x), -1))
    h = trainable(4, 6)(random(2, 4))
    with pytest.raises(UnruledError, match="Logcumsumexp"), lxt.patch(model):
        model(h)


def test_two_tensors_of_which_one_is_made_of_the_other() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return torch.cat([x * y, F.gelu(y)], -1)

    model, x = Two(), trainable(4, 3)(random(2, 4))
    y = torch.logcumsumexp(x, -1)
    with lxt.patch(model):
        out = model(x, y)
        (g,) = torch.autograd.grad(out.sum(), y, retain_graph=True)
    a, b = x.detach().requires_grad_(), y.detach().requires_grad_()
    with lxt.patch(model):
        (want,) = torch.autograd.grad(model(a, b).sum(), b)
    assert torch.equal(g, want)


@pytest.mark.parametrize("first", ["explained", "constant"])
def test_the_order_of_calls_does_not_matter(first: str) -> None:
    """A tensor that one call explains is a weight of the next, which has it from a closure."""
    other = torch.tanh(trainable(4, 6)(random(2, 4, seed=5)))
    later = other * 2
    model = inline(lambda m, x: m.a(x) * other * later)
    plain = inline(lambda m, x: m.a(x) * other.detach() * later.detach())
    taking = inline(lambda m, x: F.gelu(m.a(x)) * m.b(x))
    x = random(2, 6).requires_grad_()
    want, wanted = relevance(plain, x), relevance(taking, later.detach().requires_grad_())
    if first == "explained":
        relevance(taking, other)
        relevance(taking, later)
    assert relative_error(relevance(model, x), want) < 1e-12
    assert relative_error(relevance(taking, later), wanted) < 1e-12
    assert relative_error(relevance(model, x), want) < 1e-12


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("source", ["leaf", "tanh"])
def test_a_checkpoint_of_an_earlier_call(source: str, reentrant: bool) -> None:
    """What it computes again knows what its own call explained, whatever came between."""

    def block(m: Any, x: Tensor) -> Tensor:
        return F.gelu(m.a(x)) * (m.b(x) + x)

    model = inline(lambda m, x: checkpoint(block, m, x, use_reentrant=reentrant))
    h = trainable(4, 6)(random(2, 4))
    x = h.detach().requires_grad_() if source == "leaf" else torch.tanh(h)
    want = lxt.attribute(inline(block), x.detach(), 0).relevance
    x.retain_grad()
    with lxt.patch(model):
        out = model(x)
        model(torch.tanh(h) * 2)
        model(x)
        out[:, 0].sum().backward()
    assert x.grad is not None
    assert relative_error(x * x.grad, want) < 1e-12


def test_a_call_keeps_nothing_of_what_it_was_handed() -> None:
    """While the patch is on: not the graph behind the tensor, nor what that saved."""

    class Kept(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.token = token = Token()
            alive.append(weakref.ref(token))
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g

    class Token:
        pass

    alive: list[Any] = []
    model = net()
    with lxt.patch(model):
        h = Kept.apply(trainable(4, 6)(random(2, 4)))
        model(h)
        del h
        gc.collect()
        assert alive[0]() is None
