"""Activations written inline, in place or gated: forward unchanged, everything accounted for."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, draw, inline, random

Body = Callable[[nn.Module, Tensor], Tensor]
EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)


def gelu_erf(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def gelu_new(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


def gelu_new_in_place(x: Tensor) -> Tensor:
    t = torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    t += 1
    return x.mul(0.5).mul_(t)


def quick(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def in_place(x: Tensor) -> Tensor:
    y = x + 0
    y *= torch.sigmoid(1.702 * x)
    return y


def swish_by_hand(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


SELF_GATED: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "gelu by erf": (gelu_erf, F.gelu),
    "gelu_new": (gelu_new, lambda x: F.gelu(x, approximate="tanh")),
    "gelu_new in place": (gelu_new_in_place, lambda x: F.gelu(x, approximate="tanh")),
    "quick gelu": (quick, quick),
    "x *= sigmoid": (in_place, quick),
    "x / (1 + exp(-x))": (swish_by_hand, F.silu),
    "hardswish by hand": (lambda x: x * F.relu6(x + 3) / 6, F.hardswish),
    "silu": (F.silu, F.silu),
    "hardtanh": (F.hardtanh, F.hardtanh),
    "clamp_": (lambda x: (x + 0).clamp_(-0.5, 0.5), lambda x: x.clamp(-0.5, 0.5)),
    "clamp(min=0)": (lambda x: x.clamp(min=0), F.relu),
    "softcap": (lambda x: 2.0 * torch.tanh(x / 2.0), lambda x: 2.0 * torch.tanh(x / 2.0)),
    "tanh_": (lambda x: (x + 0).tanh_(), torch.tanh),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.2), lambda x: F.leaky_relu(x, 0.2)),
    "relu in place": (lambda x: F.relu(x + 0, inplace=True), F.relu),
    "silu in place": (lambda x: F.silu(x + 0, inplace=True), F.silu),
    "prelu": (lambda x: F.prelu(x, torch.tensor([0.25]).double()), lambda x: F.leaky_relu(x, 0.25)),
    "elu": (lambda x: F.elu(x, alpha=0.7), lambda x: F.elu(x, alpha=0.7)),
}


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", SELF_GATED)
def test_functions_of_one_tensor_pass_everything_on(name: str, composite: str) -> None:
    """f(0) = 0: the relevance at x is that at f(x), however f is written."""
    written, f = SELF_GATED[name]
    model = inline(lambda m, x: written(m.a(x)))
    x = random(2, 6)
    got = account(model, x, composite=composite)
    z = model.a(x)
    at_output = model.c.weight[0] * f(z)  # [batch, width]
    factor = torch.where(z == 0, 0.0, at_output / z)
    want = x * (factor @ model.a.weight)
    # the cube inside the hand-written hardswish has an offset of its own
    if name != "hardswish by hand":
        assert relative_error(got.relevance, want) < 1e-11
        assert set(got.ledger.entries) == {"bias"}


OFFSETS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "sigmoid_": lambda x: (x + 0).sigmoid_(),
    "softplus": F.softplus,
    "softplus(beta=2)": lambda x: F.softplus(x, 2.0),
    "exp": torch.exp,
    "cos": torch.cos,
    "logsigmoid": F.logsigmoid,
    "hardsigmoid": F.hardsigmoid,
    "clamp(min=0.1)": lambda x: x.clamp(min=0.1),
}


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", OFFSETS)
def test_the_offset_is_declared(name: str, composite: str) -> None:
    f = OFFSETS[name]
    model = inline(lambda m, x: f(m.a(x)))
    ledger = account(model, random(2, 6), composite=composite).ledger
    offset = float(f(torch.zeros(1, dtype=torch.float64)))
    want = offset * float(model.c.weight[0].sum())
    assert ledger.entries["activation"].tolist() == pytest.approx([want, want], rel=1e-11)


def in_place_gate(m: nn.Module, x: Tensor) -> Tensor:
    y = F.silu(m.a(x))
    y *= m.b(x)
    return y


def scaled_recipe(m: nn.Module, x: Tensor) -> Tensor:
    """What silu computed is no longer in y when the product meets it."""
    y = F.silu(m.a(x))
    y.mul_(2.0)
    return y * m.b(x) / 2


def overwritten_source(m: nn.Module, x: Tensor) -> Tensor:
    z = m.a(x)
    y = torch.tanh(z)
    z.zero_()
    return y * m.b(x)


GATES: dict[str, tuple[Body, Callable[[Tensor], Tensor]]] = {
    "silu(a) * b": (lambda m, x: F.silu(m.a(x)) * m.b(x), F.silu),
    "b * silu(a)": (lambda m, x: m.b(x) * F.silu(m.a(x)), F.silu),
    "in place": (in_place_gate, F.silu),
    "gelu": (lambda m, x: F.gelu(m.a(x)) * m.b(x), F.gelu),
    "relu": (lambda m, x: F.relu(m.a(x)) * m.b(x), F.relu),
    "scaled in place": (scaled_recipe, F.silu),
    "source overwritten": (overwritten_source, torch.tanh),
}


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", GATES)
def test_gated_products(name: str, composite: str) -> None:
    """AttnLRP: half to gate and signal each. CP-LRP: the activated gate is constant."""
    body, f = GATES[name]
    model, x = inline(body), random(2, 6)
    got = account(model, x, composite=composite)
    z = model.a(x)
    y, s = f(z), model.b(x)
    R = model.c.weight[0] * y * s
    if name == "source overwritten":
        composite = "attnlrp"  # tanh is no activated gate but an odd function
    share = 0.5 if composite == "attnlrp" else 0.0
    from_gate = torch.where(z == 0, 0.0, share * R / z) @ model.a.weight
    from_signal = ((1 - share) * R / s) @ model.b.weight
    assert relative_error(got.relevance, x * (from_gate + from_signal)) < 1e-11


@EVERY_COMPOSITE
@pytest.mark.parametrize(
    "body",
    [
        lambda m, x: m.b(x) * torch.sigmoid(m.a(x)),
        lambda m, x: torch.sigmoid(m.a(x)) * m.b(x),
        lambda m, x: F.glu(torch.cat([m.b(x), m.a(x)], -1)),
        lambda m, x: F.glu(torch.stack([m.b(x), m.a(x)], 1), dim=1).squeeze(1),
        lambda m, x: nn.GLU(-1)(torch.cat((m.b(x), m.a(x)), dim=-1)),
    ],
)
def test_a_sigmoid_gate_is_a_weight(body: Body, composite: str) -> None:
    model, x = inline(body), random(2, 6)
    got = account(model, x, composite=composite)
    want = x * ((model.c.weight[0] * torch.sigmoid(model.a(x))) @ model.b.weight)
    assert relative_error(got.relevance, want) < 1e-11


def test_a_sum_is_no_gate_any_more() -> None:
    """sigmoid(a) += b is a signal: half to each factor, as out of place."""

    def in_place(m: nn.Module, x: Tensor) -> Tensor:
        y = torch.sigmoid(m.a(x))
        y += m.b(x)
        return x * y

    x = random(2, 6)
    want = account(inline(lambda m, x: x * (torch.sigmoid(m.a(x)) + m.b(x))), x).relevance
    assert relative_error(account(inline(in_place), x).relevance, want) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_zeros_everywhere_are_finite(dtype: torch.dtype) -> None:
    from lxt_like import attribute

    for f, _ in SELF_GATED.values():
        model = draw(nn.Sequential(nn.Linear(6, 6, bias=False), _Apply(f), nn.Linear(6, 2)))
        if f is SELF_GATED["prelu"][0]:
            continue
        relevance = attribute(model.to(dtype), torch.zeros(1, 6, dtype=dtype), 0).relevance
        assert torch.equal(relevance, torch.zeros(1, 6))


class _Apply(nn.Module):
    def __init__(self, f: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


@pytest.mark.parametrize("threshold", [0.1, 1.0, 20.0])
def test_softplus_is_the_identity_beyond_its_threshold(threshold: float) -> None:
    model, x = inline(lambda m, x: F.softplus(m.a(x), 2.0, threshold)), random(2, 6)
    got = account(model, x)
    z = model.a(x)
    kept = (F.softplus(z, 2.0, threshold) - math.log(2.0) / 2) / z * model.c.weight[0]
    assert torch.allclose(got.relevance, x * (kept @ model.a.weight), rtol=1e-9, atol=1e-12)
