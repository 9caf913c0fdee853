"""Element-wise products, quotients and powers, in place and not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, inline, random

Body = Callable[[nn.Module, Tensor], Tensor]
EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)


def times_equals(m: nn.Module, x: Tensor) -> Tensor:
    y = m.a(x)
    y *= m.b(x)
    return y


def partly(m: nn.Module, x: Tensor) -> Tensor:
    """Only the first half is multiplied, through a view."""
    y = m.a(x)
    y[:, :3] *= m.b(x)[:, :3]
    return y


def of_chunks(m: nn.Module, x: Tensor) -> Tensor:
    left, right = m.a(x).chunk(2, -1)
    return torch.cat([left * right, m.b(x)[..., :3]], -1)


PRODUCTS: dict[str, Body] = {
    "a * b": lambda m, x: m.a(x) * m.b(x),
    "torch.mul": lambda m, x: torch.mul(m.a(x), m.b(x)),
    "mul(x, other=)": lambda m, x: torch.mul(m.a(x), other=m.b(x)),
    "mul(input=, other=)": lambda m, x: torch.multiply(other=m.b(x), input=m.a(x)),
    "a *= b": times_equals,
    "mul_ by name": lambda m, x: m.a(x).mul_(other=m.b(x)),
    "mul_": lambda m, x: m.a(x).mul_(m.b(x)),
}


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", PRODUCTS)
def test_half_to_each(name: str, composite: str) -> None:
    model, x = inline(PRODUCTS[name]), random(2, 6)
    got = account(model, x, composite=composite)
    a, b, w = model.a(x), model.b(x), model.c.weight[0]
    want = x * ((w * b) @ model.a.weight + (w * a) @ model.b.weight) / 2
    assert relative_error(got.relevance, want) < 1e-11


CONSERVED: dict[str, Body] = {
    "a view's product": partly,
    "product of chunks": of_chunks,
    "x[:, 0] *= y": lambda m, x: _column(m.a(x), m.b(x)),
    "broadcast": lambda m, x: m.a(x) * m.b(x)[:, :1],
    "x * x": lambda m, x: m.a(x) * m.a(x),
    "the same tensor twice": lambda m, x: (lambda z: z * z)(m.a(x)),
    "square": lambda m, x: m.a(x).square(),
    "pow 3": lambda m, x: m.a(x) ** 3,
    "square_": lambda m, x: m.a(x).square_(),
    "pow_": lambda m, x: m.a(x).pow_(2),
    "pow 1.5 of an absolute value": lambda m, x: m.a(x).abs() ** 1.5,
    "pow by name": lambda m, x: torch.pow(input=m.a(x), exponent=2),
    "three factors": lambda m, x: m.a(x) * m.b(x) * x,
    "a constant factor": lambda m, x: m.a(x) * 3.0 * torch.linspace(-1, 1, 6).double(),
    "by a constant": lambda m, x: m.a(x) / 3.0,
    "by a tensor of constants": lambda m, x: m.a(x) / torch.linspace(1, 2, 6).double(),
    "complex rotation": lambda m, x: _rotate(m.a(x)),
}


def _column(y: Tensor, z: Tensor) -> Tensor:
    y[:, 0] *= z[:, 1]
    return y


def _rotate(x: Tensor) -> Tensor:
    turn = torch.polar(torch.ones(3).double(), torch.arange(3.0).double())
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (3, 2))) * turn).flatten(-2)


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", CONSERVED)
def test_conserved(name: str, composite: str) -> None:
    ledger = account(inline(CONSERVED[name]), random(2, 6), composite=composite).ledger
    assert set(ledger.entries) == {"bias"}


def test_powers_pass_on_what_came() -> None:
    """x^n is a product of n factors: R_x = R, not n R as the gradient has it."""
    model, x = inline(lambda m, x: m.a(x) ** 3), random(2, 6)
    z = model.a(x)
    want = x * ((model.c.weight[0] * z**2) @ model.a.weight)
    assert relative_error(account(model, x).relevance, want) < 1e-11


QUOTIENTS: dict[str, Body] = {
    "x / norm": lambda m, x: m.a(x) / m.b(x).norm(dim=-1, keepdim=True),
    "x /= norm": lambda m, x: m.a(x).div_(m.b(x).norm(dim=-1, keepdim=True)),
    "div by name": lambda m, x: torch.div(m.a(x), other=m.b(x).norm(dim=-1, keepdim=True)),
    "x * (1 / norm)": lambda m, x: m.a(x) * (1 / m.b(x).norm(dim=-1, keepdim=True)),
    "x * reciprocal": lambda m, x: m.b(x).norm(dim=-1, keepdim=True).reciprocal() * m.a(x),
    "x * pow(-0.5)": lambda m, x: m.a(x) * (m.b(x).square().sum(-1, True) ** -0.5),
    "x * rsqrt": lambda m, x: m.a(x) * torch.rsqrt(m.b(x).square().sum(-1, keepdim=True)),
}


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", QUOTIENTS)
def test_a_divisor_is_a_constant_scale(name: str, composite: str) -> None:
    model, x = inline(QUOTIENTS[name]), random(2, 6)
    got = account(model, x, composite=composite)
    norm = model.b(x).norm(dim=-1, keepdim=True)
    want = x * ((model.c.weight[0] / norm) @ model.a.weight)
    assert relative_error(got.relevance, want) < 1e-11


def test_weights_derived_from_trainable_parameters_are_no_signals() -> None:
    """1 + w requires grad where w does; it is a weight all the same."""

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.c = nn.Parameter(random(6)), nn.Linear(6, 3).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.c(x * (1.0 + self.w).unsqueeze(0) @ torch.diag(self.w * self.w))

    model, x = Shifted(), random(2, 6).requires_grad_()
    grads = []
    for freeze in (True, False):
        with lxt.patch(model, freeze=freeze):
            grads += torch.autograd.grad(model(x)[:, 0].sum(), x)
    assert torch.equal(grads[0], grads[1])


def test_plain_gradient_at_products_is_a_choice() -> None:
    model, x = inline(lambda m, x: m.a(x) * m.b(x)), random(2, 6)
    plainly = lxt.Assign(lxt.rules.Gradient(), kind="product")
    mixed = lxt.composites.AttnLRP() + lxt.Composite([plainly])
    half = lxt.attribute(model, x, 0).relevance
    plain = lxt.attribute(model, x, 0, mixed, ledger=True)
    assert relative_error(plain.relevance, 2 * half) < 1e-12
    assert bool((plain.ledger.unruled > 1e-3).all())


@pytest.mark.parametrize("mode", ["floor", "trunc"])
def test_a_rounded_division_is_refused(mode: str) -> None:
    """Its gradient is zero everywhere: the relevance would vanish without a word."""
    model, x = (
        inline(lambda m, x: m.a(x) + torch.div(m.b(x), 0.5, rounding_mode=mode)),
        random(2, 6),
    )
    with pytest.raises(lxt.errors.UnruledError, match="rounded division"):
        lxt.attribute(model, x, 0)
