"""Full backward hooks, as Grad-CAM, captum and loggers register them: identities in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from tests.models.tiny import build, inputs
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, closing_error, draw, random


class Attend(nn.Module):
    def forward(self, weights: Tensor, values: Tensor) -> Tensor:
        return weights @ values


class Gate(nn.Module):
    def forward(self, gate: Tensor, up: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        return gate * up * scale, up


class Net(nn.Module):
    """Roles, causes and a recipe cross the borders of modules; one returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(6, 6) for _ in range(3))
        self.softmax, self.sigmoid, self.silu = nn.Softmax(-1), nn.Sigmoid(), nn.SiLU()
        self.attend, self.gate, self.mlp = Attend(), Gate(), Gate()
        self.norm, self.o = nn.LayerNorm(6), nn.Linear(6, 3)
        self.scale = nn.Parameter(torch.zeros(6))
        self.position = nn.Embedding(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.position(torch.arange(4))
        h = self.attend(self.softmax(self.q(x) @ self.k(x).mT), self.v(x))
        h, up = self.gate(self.sigmoid(self.q(h)), self.k(h), self.scale * 1.0)
        h = self.mlp(self.silu(self.v(h)), up, self.scale)[0]
        out: Tensor = self.o(self.norm(h + x)).sum(1)
        return out


class Convolved(nn.Module):
    """A BatchNorm is merged; the input itself goes into a linear operation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)
        self.act, self.flat, self.o = nn.ReLU(), nn.Flatten(), nn.Linear(27, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.o(self.flat(self.act(self.norm(self.conv(x)))))
        return out


def seen(log: list[Any]) -> Callable[..., None]:
    return lambda module, *grads: log.append((module, grads))


def hooked(model: nn.Module, log: list[Any]) -> Any:
    for module in model.modules():
        module.register_full_backward_hook(seen(log))
        module.register_full_backward_pre_hook(seen(log))
    return model


def made(kind: type[nn.Module]) -> Any:
    model: Any = draw(kind()).double()
    if kind is Convolved:
        model.norm.running_mean += random(3)
        model.norm.running_var += random(3).abs()
    return model


CASES: dict[str, tuple[type[nn.Module], tuple[int, ...], tuple[str, ...]]] = {
    "attention and gates": (Net, (2, 4, 6), ("attnlrp", "cp_lrp", "epsilon")),
    "merged": (Convolved, (2, 2, 5, 5), ("epsilon_plus", "epsilon_gamma_box", "attnlrp")),
    "first layer": (Convolved, (2, 2, 5, 5), ("epsilon_plus_flat", "epsilon_alpha2_beta1_flat")),
}


@pytest.mark.parametrize(
    ("name", "composite"), [(name, c) for name, case in CASES.items() for c in case[2]]
)
def test_they_change_no_relevance(name: str, composite: str) -> None:
    kind, shape, _ = CASES[name]
    x, log = random(*shape), []
    want = account(made(kind), x, composite=composite)
    got = account(hooked(made(kind), log), x, composite=composite)
    assert relative_error(got.relevance, want.relevance) < 1e-12
    assert want.ledger is not None and got.ledger is not None
    assert got.ledger.entries.keys() == want.ledger.entries.keys()
    for cause, amounts in want.ledger.entries.items():
        assert relative_error(got.ledger.entries[cause], amounts) < 1e-9, cause
    modules = [type(m) for m in made(kind).modules()]
    assert {type(m) for m, _ in log} >= set(modules) - {nn.Embedding}


@pytest.mark.parametrize("freeze", [True, False])
@pytest.mark.parametrize("composite", COMPOSITES)
def test_under_a_patch(composite: str, freeze: bool) -> None:
    """The hooks see gradients that are relevance; the parameters among the arguments none."""
    log: list[Any] = []
    model, x = hooked(made(Net), log).requires_grad_(), random(2, 4, 6)
    want = lxt.attribute(made(Net), x, 0, composite).relevance
    x.requires_grad_()
    with lxt.patch(model, composite, freeze=freeze):
        out = model(x)
        (g,) = torch.autograd.grad(out[:, 0].sum(), x)
    assert relative_error(x * g, want) < 1e-12
    arrived = [grads for m, grads in log if m is model.norm and len(grads) == 2]
    layers = lxt.attribute(made(Net), x.detach(), 0, composite, layers=["norm"]).layers
    ((_, (at_norm,)),) = arrived
    h: list[Tensor] = []
    model.norm.register_forward_hook(lambda m, args, out: h.append(out.detach()))
    model(x)
    assert relative_error(h[0] * at_norm, layers["norm"]) < 1e-12


def test_a_hook_may_change_what_passes() -> None:
    """As without a patch: the gradient of the module's input is what the hook returns."""
    model, x = made(Net), random(2, 4, 6)
    plain = lxt.attribute(model, x, 0).relevance
    handle = model.o.register_full_backward_hook(lambda m, into, out: (into[0] * 2,))
    assert relative_error(lxt.attribute(model, x, 0).relevance, 2 * plain) < 1e-12
    handle.remove()
    assert relative_error(lxt.attribute(model, x, 0).relevance, plain) < 1e-12


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_transformers(name: str, composite: str) -> None:
    batch, log = inputs(name), []
    want = lxt.attribute(build(name), batch, [1, 2], composite, ledger=True)
    got = lxt.attribute(hooked(build(name), log), batch, [1, 2], composite, ledger=True)
    assert relative_error(got.relevance, want.relevance) < 1e-5
    assert closing_error(got.ledger) < 1e-4 and log


def test_in_the_plain_model_nothing_is_changed() -> None:
    log: list[Any] = []
    model, x = hooked(made(Net), log), random(2, 4, 6).requires_grad_()
    with lxt.patch(made(Net)):
        model(x).sum().backward()
    want = random(2, 4, 6).requires_grad_()
    made(Net)(want).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, want.grad)
    assert log and "apply" not in vars(torch.nn.modules._functions.BackwardHookFunction)
