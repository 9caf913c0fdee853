"""A model that differentiates inside its forward would compute with our gradients: refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import lxt_like as lxt
from lxt_like.errors import PatchError, UnruledError, UnruledWarning
from tests.oracles.arrays import relative_error
from tests.support import account, inline, random

X = random(2, 6)
Slope = Callable[[Any, Tensor], Tensor]


def by_grad(m: Any, x: Tensor) -> Tensor:
    with torch.enable_grad():
        p = x.detach().requires_grad_()
        return torch.autograd.grad(torch.tanh(m.a(p)).sum(), p)[0]


def by_grad_outside(m: Any, x: Tensor) -> Tensor:
    with torch.enable_grad():
        p = x.detach().requires_grad_()
        y = torch.tanh(m.a(p)).sum()
    with torch.no_grad():
        return torch.autograd.grad(outputs=y, inputs=p)[0]


def by_backward(m: Any, x: Tensor) -> Tensor:
    with torch.enable_grad():
        p = x.detach().requires_grad_()
        torch.tanh(m.a(p)).sum().backward()
    return p.grad


def by_autograd_backward(m: Any, x: Tensor) -> Tensor:
    with torch.enable_grad():
        p = x.detach().requires_grad_()
        torch.autograd.backward([torch.tanh(m.a(p)).sum()])
    return p.grad


def by_jacobian(m: Any, x: Tensor) -> Tensor:
    found: Tensor = torch.autograd.functional.jacobian(lambda p: torch.tanh(m.a(p)).sum(), x)
    return found.detach()


def by_func(m: Any, x: Tensor) -> Tensor:
    found: Tensor = torch.func.grad(lambda p: torch.tanh(m.a(p)).sum())(x.detach())
    return found


def twice(m: Any, x: Tensor) -> Tensor:
    return torch.autograd.grad(torch.tanh(m.a(x)).sum(), x, create_graph=True)[0]


SLOPES: dict[str, Slope] = {
    f.__name__: f
    for f in (
        by_grad,
        by_grad_outside,
        by_backward,
        by_autograd_backward,
        by_jacobian,
        twice,
    )
}


def using(slope: Slope) -> Any:
    return inline(lambda m, x: m.b(x) * slope(m, x))


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("name", SLOPES)
def test_refused(name: str, ledger: bool) -> None:
    with pytest.raises(UnruledError, match=r"forward takes a gradient.*the rules.*gradient'"):
        lxt.attribute(using(SLOPES[name]), X, 0, ledger=ledger)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", SLOPES)
def test_refused_under_a_patch(name: str, grad: bool) -> None:
    if name == "twice" and not grad:
        pytest.skip("has no gradient to take")
    model = nn.Sequential(nn.Linear(6, 6), using(SLOPES[name])).double().eval()
    refused = pytest.raises(UnruledError, match=r"in 1\)")
    with lxt.patch(model), torch.set_grad_enabled(grad), refused:
        model(X.clone().requires_grad_())
    with torch.set_grad_enabled(grad):
        model(X.clone().requires_grad_())  # restored: as before


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("name", [n for n in SLOPES if n != "twice"])
def test_without_strictness_one_warning(name: str, ledger: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = lxt.attribute(using(SLOPES[name]), X, 0, strict=False, ledger=ledger)
    told = [str(w.message) for w in caught if w.category is UnruledWarning]
    assert len(told) == 1 and "takes a gradient" in told[0]
    if ledger:  # a constant times the signal: what the inner gradient passed counts for nothing
        assert found.ledger.closed
        assert set(found.ledger.entries) <= {"bias"}


def test_a_second_derivative_is_called_by_its_name() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(m.a(x).square().sum(), x, create_graph=True)
        return m.b(x) + slope

    model = inline(forward)
    named = pytest.warns(UnruledWarning, match="derivative of an operation under a rule")
    with named, pytest.raises(RuntimeError, match="differentiate twice"):
        lxt.attribute(model, X, 0, "epsilon", strict=False)


def test_torch_func_differentiates_without_the_rules() -> None:
    """It wraps its tensors, which no rule can take: the forward is the model's own."""
    model = using(by_func)
    slope = by_func(model, X)
    found = account(model, X, 0)
    wanted = lxt.attribute(inline(lambda m, x: m.b(x) * slope), X, 0).relevance
    assert relative_error(found.relevance, wanted) < 1e-12
    live = inline(lambda m, x: m.b(x) * torch.func.grad(lambda p: torch.tanh(m.a(p)).sum())(x))
    with pytest.raises(UnruledError, match=r"Mul|Tanh"):
        lxt.attribute(live, X, 0)


@pytest.mark.parametrize("around", [torch.vmap, torch.func.jacrev, torch.func.grad])
def test_torch_func_around_a_patched_model_is_refused(around: Any) -> None:
    model = inline(lambda m, x: torch.tanh(m.a(x)))
    with lxt.patch(model):
        with pytest.raises(PatchError, match="outside the transform"):
            around(lambda x: model(x).sum())(X[:, None])
        with torch.no_grad():
            found = torch.vmap(model)(X[:, None])
    torch.testing.assert_close(found[:, 0], model(X))


@pytest.mark.parametrize("name", SLOPES)
def test_with_the_plain_gradient_everywhere_nothing_is_changed(name: str) -> None:
    x = X.clone().requires_grad_()
    model = using(SLOPES[name])
    score = model(x)[:, 0]
    want = x * torch.autograd.grad(score.sum(), x)[0]
    got = lxt.attribute(model, X, 0, "gradient")
    assert torch.equal(got.score, score.detach())
    assert relative_error(got.relevance, want.detach()) < 1e-12


def test_the_callers_own_gradients_are_his() -> None:
    model = inline(lambda m, x: torch.tanh(m.a(x)) * m.b(x))
    want = lxt.attribute(model, X, 0).relevance
    with lxt.patch(model):
        x = X.clone().requires_grad_()
        (g,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
        model(x)[:, 0].sum().backward()
        y = X.clone().requires_grad_()
        torch.autograd.backward(model(y)[:, 0].sum())
    for found in (g, x.grad, y.grad):
        assert relative_error(X * found, want) < 1e-12


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_differentiate_on_their_own(reentrant: bool, ledger: bool) -> None:
    """Also one inside another."""

    def inner(m: Any, x: Tensor) -> Tensor:
        return checkpoint(lambda t: torch.tanh(m.a(t)), x, use_reentrant=reentrant) + x

    plain = inline(lambda m, x: torch.tanh(m.a(x)) + x)
    once = inline(inner)
    nested = inline(lambda m, x: checkpoint(lambda t: inner(m, t), x, use_reentrant=reentrant))
    want = lxt.attribute(plain, X, 0).relevance
    for model in (once, nested):
        got = lxt.attribute(model, X, 0, ledger=ledger)
        assert relative_error(got.relevance, want) < 1e-12
        account(model, X, 0)
