"""The identity rule against mpmath's digits, and every table entry against the function itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lxt_like.rules import Identity
from lxt_like.rules.activation import SHAPES, Shape, clamp_shape, quick_gelu, softplus_shape
from tests.oracles import activations as oracle
from tests.oracles.arrays import relative_error
from tests.support import TOLERANCE, Books, random

Unary = Callable[[Tensor], Tensor]

# torch function and table entry of the oracle's names
KNOWN: dict[str, tuple[Unary, Shape]] = {
    "gelu": (F.gelu, SHAPES["gelu"]),
    "gelu_tanh": (partial(F.gelu, approximate="tanh"), SHAPES["gelu"]),
    "quick_gelu": (quick_gelu, SHAPES["quick_gelu"]),
    "softplus": (F.softplus, softplus_shape()),
    **{
        name: (getattr(torch, name, None) or getattr(F, name), SHAPES[name])
        for name in ("relu", "silu", "mish", "tanh", "sigmoid", "elu", "exp")
        if hasattr(torch, name) or hasattr(F, name)
    },
}
assert set(KNOWN) == set(oracle.FUNCTIONS)


def function(name: str) -> Unary:
    spaces = (torch, F, torch.special)
    return next(getattr(s, name) for s in spaces if callable(getattr(s, name, None)))


OTHERS: dict[str, tuple[Unary, Shape]] = {
    **{name: (function(name), shape) for name, shape in SHAPES.items() if name != "quick_gelu"},
    "softplus(beta=3)": (partial(F.softplus, beta=3.0), softplus_shape(3.0)),
    "clamp(-1, 0.5)": (partial(torch.clamp, min=-1.0, max=0.5), clamp_shape(-1.0, 0.5)),
    "clamp(min=0.25)": (partial(torch.clamp, min=0.25), clamp_shape(0.25, None)),
    "clamp(max=-1)": (partial(torch.clamp, max=-1.0), clamp_shape(None, -1.0)),
}


def modified_derivative(f: Unary, shape: Shape, x: Tensor) -> tuple[Tensor, float]:
    """The factor on the gradient, and what is declared for a gradient of ones."""
    x = x.clone().requires_grad_()
    books = Books()
    out = Identity().activation(f, shape, x, books)
    assert torch.equal(out, f(x.detach()))
    (grad,) = torch.autograd.grad(out, x, torch.ones_like(out))
    return grad, books.entries.get("activation", 0.0)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_against_fifty_digits(name: str, dtype: torch.dtype) -> None:
    f, shape = KNOWN[name]
    x = torch.cat([4 * random(40), torch.tensor([0.0, -0.0, 1.0, -1.0, 1e-3, -1e-3])]).to(dtype)
    grad, declared = modified_derivative(f, shape, x)
    assert relative_error(grad, oracle.ratio(name, x)) < 4 * TOLERANCE[dtype]
    assert declared == pytest.approx(oracle.offset(name) * len(x), rel=TOLERANCE[dtype])


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_tiny_inputs_do_not_cancel(name: str, dtype: torch.dtype) -> None:
    f, shape = KNOWN[name]
    x = torch.tensor([10.0**-n for n in range(2, 30, 3)], dtype=dtype)
    x = torch.cat([x, -x])
    grad, _ = modified_derivative(f, shape, x)
    assert relative_error(grad, oracle.ratio(name, x)) < 10 * TOLERANCE[dtype]


@pytest.mark.parametrize("name", OTHERS)
def test_table_entries_describe_their_function(name: str) -> None:
    f, shape = OTHERS[name]
    x = 3 * random(50)
    x = x[x.abs() > 0.05]
    if name == "log1p":
        x = x.abs()
    zero = torch.zeros(1, dtype=torch.float64)
    assert shape.offset == pytest.approx(float(f(zero)), abs=1e-15)
    grad, declared = modified_derivative(f, shape, x)
    assert relative_error(grad, (f(x) - f(zero)) / x) < 1e-12
    assert declared == pytest.approx(shape.offset * len(x), rel=1e-12)
    step = torch.tensor([1e-6], dtype=torch.float64)  # one of the two one-sided slopes
    slopes = [float((f(s) - f(zero)) / s) for s in (step, -step)]
    at_zero, _ = modified_derivative(f, shape, zero)
    assert min(abs(float(at_zero) - s) for s in slopes) < 1e-5


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_extreme_inputs_are_finite(name: str, dtype: torch.dtype) -> None:
    f, shape = OTHERS[name]
    info = torch.finfo(dtype)
    x = torch.tensor([0.0, -0.0, info.tiny, -info.tiny, info.eps, 11.0, -11.0, 60.0], dtype=dtype)
    if name == "log1p":
        x = x.abs()
    if name in ("exp", "expm1"):
        x = x.clamp(max=8)
    grad, _ = modified_derivative(f, shape, x)
    assert grad.isfinite().all()
    assert grad.dtype == dtype


def test_gradients_of_gradients_are_not_needed_but_autograd_may_record() -> None:
    x = random(4).requires_grad_()
    out = Identity().activation(F.silu, SHAPES["silu"], x)
    (grad,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    assert torch.allclose(grad, torch.sigmoid(x))


def test_unknown_shapes_carry_their_own_ratio() -> None:
    shape = Shape(2.0, 3.0, lambda x: torch.full_like(x, 3.0))
    grad, declared = modified_derivative(lambda x: 3 * x + 2, shape, random(5))
    assert torch.equal(grad, torch.full((5,), 3.0).double())
    assert declared == pytest.approx(10.0)
