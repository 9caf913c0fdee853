"""Weights that a model does not own, and weights that are plain tensors: weights all the same.

Nothing freezes them, so that they require grad as what is explained does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

import lxt_like as lxt
from lxt_like import rules
from lxt_like.composites import composite as resolve
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, Inline, Rounded, account, closing_error, draw, inline, random

SIGNALS = lxt.Composite(
    [
        *resolve("cp_lrp").assignments,
        lxt.Assign(rules.Gamma(1.0), kind="linear"),
        lxt.Assign(rules.SignalOnly(), kind="bilinear"),
    ]
)
BODIES: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "mixed by a gate": lambda m, x, w: torch.matmul(torch.sigmoid(w * 1.5), m.a(x)),
    "product": lambda m, x, w: m.a(x) @ w,
    "linear": lambda m, x, w: F.linear(m.a(x), w, w[0]),
    "gain": lambda m, x, w: F.relu(m.a(x) * F.softplus(w[0] * 1.5)),
    "norm": lambda m, x, w: F.layer_norm(m.a(x), (6,), w[0], w[1]),
    "by name": lambda m, x, w: torch.mul(input=m.a(x), other=F.softplus(w[0])),
    "joined": lambda m, x, w: F.relu(m.a(x) * torch.cat([w[0, :3], w[0, 3:] * 2]).exp()),
    "custom": lambda m, x, w: torch.sigmoid(Rounded.apply(w)) @ m.a(x),
}
HELD: dict[str, Callable[[Tensor], Tensor]] = {
    "parameter": nn.Parameter,
    "leaf": lambda w: w.clone().requires_grad_(),
    "computed from a parameter": lambda w: nn.Parameter(w / 2) * 2,
    "computed from a leaf": lambda w: (w / 2).requires_grad_() * 2,
}


def model_of(body: str, weight: Tensor) -> Any:
    held = [weight]  # a list: no parameter of the model
    return inline(lambda m, x: BODIES[body](m, x, held[0]))


EACH = [*COMPOSITES, "guided_backprop", "epsilon_plus", SIGNALS]


@pytest.mark.parametrize("composite", EACH, ids=[*EACH[:-1], "signals"])
@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("body", BODIES)
def test_a_weight_outside_the_model(body: str, held: str, composite: Any) -> None:
    """Explained as if it were a constant, with a ledger, without and in a patch."""
    w, x = random(6, 6, seed=4), random(2, 6, 6)
    wanted = lxt.attribute(model_of(body, w), x, 0, composite).relevance
    for ledger in (False, True):
        model = model_of(body, HELD[held](w))
        found = lxt.attribute(model, x, 0, composite, ledger=ledger)
        assert relative_error(found.relevance, wanted) < 1e-12
    assert found.ledger is not None
    if composite != "guided_backprop":  # which keeps no account
        assert closing_error(found.ledger) < 1e-11
    leaf = x.clone().requires_grad_()
    with lxt.patch(model := model_of(body, HELD[held](w)), composite):
        model(leaf)[:, 0].sum().backward()
    assert relative_error(leaf * leaf.grad, wanted) < 1e-12


class Plain(nn.Module):
    """A plain tensor that requires grad, as an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.w = random(4, 4).requires_grad_()
        self.o = draw(nn.Linear(4, 3, bias=False)).double()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.o(x @ self.w)
        return out


@pytest.mark.parametrize("composite", [*COMPOSITES, "epsilon"])
def test_a_plain_tensor_takes_no_relevance(composite: str) -> None:
    found = account(Plain(), random(2, 4), 0, composite)
    assert torch.allclose(found.relevance.sum(1), found.score, rtol=1e-5)


def test_the_last_operation_is_counted_alike() -> None:
    """A counting forward meets the same weights."""
    rest = lxt.Assign(rules.Epsilon(0.0), kind="linear")
    last = lxt.Composite([rest, lxt.Assign(rules.Gamma(1.0), kind="linear", where="last")])
    constant = Plain()
    constant.w = constant.w.detach()
    x = random(2, 4)
    wanted = lxt.attribute(constant, x, 0, last).relevance
    assert relative_error(lxt.attribute(constant, x, 0).relevance, wanted) > 1e-3
    assert torch.equal(lxt.attribute(Plain(), x, 0, last).relevance, wanted)


@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_functional_call_with_other_weights(composite: str) -> None:
    """Tensors that require grad stand in the parameters' places."""
    model = draw(nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2))).double()
    weights = {k: random(*v.shape, seed=3).requires_grad_() for k, v in model.named_parameters()}
    x = random(2, 4).requires_grad_()
    with lxt.patch(model, composite):
        functional_call(model, weights, (x,))[:, 0].sum().backward()
    constant = {k: v.detach() for k, v in weights.items()}
    wanted = lxt.attribute(Called(model, constant), x.detach(), 0, composite).relevance
    assert relative_error(x * x.grad, wanted) < 1e-12


class Called(nn.Module):
    def __init__(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.model, self.weights = model, weights

    def forward(self, x: Tensor) -> Any:
        return functional_call(self.model, self.weights, (x,))


@pytest.mark.parametrize("how", ["method", "property"])
def test_a_hidden_state_that_a_hook_cuts_off(how: str) -> None:
    """A leaf that is made while the model runs, as people look at hidden layers."""
    model = draw(nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.LayerNorm(4), nn.Linear(4, 2)))
    model = model.double()
    x, kept = random(2, 4).requires_grad_(), []

    def hook(module: nn.Module, args: Any, out: Tensor) -> Tensor:
        leaf = out.detach()
        if how == "method":
            leaf.requires_grad_()
        else:
            leaf.requires_grad = True
        kept.append(leaf)
        return leaf

    wanted = lxt.attribute(model, x.detach(), 0, layers=["1"]).layers["1"]
    handle = model[1].register_forward_hook(hook)
    with lxt.patch(model):
        model(x)[:, 0].sum().backward()
    handle.remove()
    (leaf,) = kept
    assert relative_error(leaf * leaf.grad, wanted) < 1e-12


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_of_a_model_with_a_plain_tensor(reentrant: bool) -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        def block(h: Tensor) -> Tensor:
            return F.gelu(m.a(h) @ w) * torch.sigmoid(m.b(h))

        x = x * 2
        if not m.training:
            return block(x)
        out: Tensor = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=reentrant)
        return out

    w, x = random(6, 6, seed=4).requires_grad_(), random(2, 6)
    model = draw(Inline(body)).double()
    wanted = lxt.attribute(model, x, 0).relevance
    model.train()
    assert relative_error(lxt.attribute(model, x, 0).relevance, wanted) < 1e-12
    leaf = x.clone().requires_grad_()
    with lxt.patch(model):
        model(leaf)[:, 0].sum().backward()
    assert relative_error(leaf * leaf.grad, wanted) < 1e-12


def test_nothing_to_explain_but_leaves_behind_ids() -> None:
    """Called with ids alone, what a hook puts in the words' place is explained, as ever."""
    model = draw(nn.Sequential(nn.Embedding(9, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2)))
    ids = torch.arange(3)[None]
    leaf = model[0](ids).detach().requires_grad_()
    handle = model[0].register_forward_hook(lambda *_: leaf)
    with lxt.patch(model):
        model(ids)[0, 0, 0].backward()
    handle.remove()
    with lxt.patch(rest := model[1:]):
        other = leaf.detach().requires_grad_()
        rest(other)[0, 0, 0].backward()
    assert torch.equal(leaf.grad, other.grad)


CHECKPOINTS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "not checkpointed": lambda block, x: block(x),
    "reentrant": lambda block, x: torch.utils.checkpoint.checkpoint(block, x, use_reentrant=True),
    "checkpointed": lambda block, x: torch.utils.checkpoint.checkpoint(
        block, x, use_reentrant=False
    ),
}


@pytest.mark.parametrize("options", [{}, {"layers": ["c"]}, {"masks": {"c": 0.5}}], ids=str)
@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("composite", [*COMPOSITES, "gradient", "epsilon_plus"])
@pytest.mark.parametrize("how", CHECKPOINTS)
def test_no_gradient_is_written(
    how: str, composite: str, ledger: bool, options: dict[str, Any]
) -> None:
    """Into no weight, be it a leaf, a layer's, behind a computation, or the target's own."""
    layer, leaf, probe = nn.Linear(6, 6).double(), random(6, 6).requires_grad_(), nn.Linear(3, 1)
    old = random(6, 6, seed=2).requires_grad_()
    weights = [*layer.parameters(), leaf, *probe.double().parameters(), old]
    for i, w in enumerate(weights[1:]):  # the first has no gradient yet
        w.grad = torch.full_like(w, float(i))
    before = [(w.grad, None if w.grad is None else w.grad.clone()) for w in weights]
    computed = torch.tanh(old)  # with a graph that was there before

    def block(x: Tensor) -> Tensor:
        return torch.tanh(layer(x)) @ leaf

    def body(m: Any, x: Tensor) -> Tensor:
        return torch.sigmoid(CHECKPOINTS[how](block, x * 2) @ computed)

    model = inline(body)
    target = lxt.targets.Output(lambda out: (out * probe.weight).sum(-1))
    x = random(2, 6)
    found = [
        lxt.attribute(model, x, target, composite, ledger=ledger, **options).relevance
        for _ in range(2)
    ]
    assert torch.equal(*found)
    for w, (grad, value) in zip(weights, before, strict=True):
        assert w.grad is grad
        assert grad is None or torch.equal(grad, value)
        assert w.requires_grad
    computed.sum().backward()  # its graph is still there, and takes gradients again
    assert relative_error(old.grad - 4, 1 - computed.detach() ** 2) < 1e-12
    layer(x).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("ledger", [False, True])
def test_the_plain_gradient_of_a_reentrant_checkpoint(ledger: bool) -> None:
    def body(m: Any, x: Tensor) -> Tensor:
        def block(h: Tensor) -> Tensor:
            return F.gelu(m.a(h)) * torch.sigmoid(m.b(h))

        x = x * 2
        return block(x) if not m.training else CHECKPOINTS["reentrant"](block, x)

    model, x = draw(Inline(body)).double(), random(2, 6)
    wanted = lxt.attribute(model, x, 0, "gradient").relevance
    model.train()
    found = lxt.attribute(model, x, 0, "gradient", ledger=ledger).relevance
    assert relative_error(found, wanted) < 1e-12
