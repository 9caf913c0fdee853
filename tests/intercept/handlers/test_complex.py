"""Complex numbers: right where a rule is the plain gradient, refused where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import RuleError
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES

Body = Callable[[Any, Tensor], Tensor]
DTYPE = torch.complex128


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=DTYPE, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """The real part of ``body(self, x)``; x [batch, 4] is complex, too."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.w, self.v = nn.Parameter(numbers(3, 4, seed=1)), nn.Parameter(numbers(4, seed=2))
        self.k = nn.Parameter(numbers(2, 1, 2, seed=3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x).real.reshape(len(x), -1)


LINEAR: dict[str, Body] = {
    "linear": lambda m, x: F.linear(x, m.w),
    "linear, one output": lambda m, x: F.linear(x, m.v),
    "matmul": lambda m, x: x @ m.w.mT,
    "conv1d": lambda m, x: F.conv1d(x[:, None], m.k),
    "einsum": lambda m, x: torch.einsum("bi,oi->bo", x, m.w),
    "addmm": lambda m, x: torch.addmm(m.v[:3], x, m.w.mT),
}
RIGHT: dict[str, Body] = {
    **LINEAR,
    "fft": lambda m, x: torch.fft.ifft(torch.fft.fft(x) * m.v),
    "product": lambda m, x: x * F.linear(x, m.w.mT @ m.w),
    "square": lambda m, x: x.square(),
    "normalize": lambda m, x: F.normalize(x, dim=-1),
    "bilinear": lambda m, x: F.linear(x, m.w)[:, :, None] @ x[:, None],
}
REFUSED: dict[str, Body] = {
    "sigmoid": lambda m, x: x.sigmoid(),
    "tanh": lambda m, x: F.linear(x, m.w).tanh(),
    "exp": lambda m, x: x.exp(),
    "gate": lambda m, x: x * x.tanh(),
    "rms_norm": lambda m, x: F.rms_norm(x, (4,)),
    "rms_norm with weights": lambda m, x: F.rms_norm(x, (4,), m.v),
}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", RIGHT)
def test_what_needs_no_ratio_closes(name: str, composite: str) -> None:
    model, x = Net(RIGHT[name]).eval(), numbers(2, 4)
    got = lxt.attribute(model, x, 0, composite, ledger=True)
    assert not got.relevance.is_complex()
    assert got.ledger.closed
    assert float(got.ledger.unruled.max()) < 1e-12 * float(got.ledger.score.abs().max())


def test_the_relevance_is_the_real_part() -> None:
    """Re(w x): each term is the share of its own factor."""
    model, x = Net(LINEAR["linear"]).eval(), numbers(2, 4)
    got = lxt.attribute(model, x, 1)
    assert relative_error(got.relevance, (x * model.w[1]).real) < 1e-12


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "gamma", "box"])
@pytest.mark.parametrize("name", LINEAR)
def test_other_linear_rules_are_for_real_numbers(name: str, composite: str) -> None:
    rules = {"gamma": lxt.rules.Gamma(0.25), "box": lxt.rules.ZBox(-1.0, 1.0)}
    chosen: Any = composite
    if composite in rules:
        chosen = lxt.Composite([lxt.Assign(rules[composite], kind="linear")])
    with pytest.raises(RuleError, match="for real numbers"):
        lxt.attribute(Net(LINEAR[name]).eval(), numbers(2, 4), 0, chosen)


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", REFUSED)
def test_ratios_of_complex_numbers_are_refused(name: str, composite: str) -> None:
    with pytest.raises(RuleError, match=r"for real numbers.*Gradient"):
        lxt.attribute(Net(REFUSED[name]).eval(), numbers(2, 4), 0, composite)
