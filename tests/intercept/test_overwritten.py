"""Writing into an operation's output does not lose its rule, its mask or its BatchNorm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from tests.oracles.arrays import relative_error


def _write_column(y: Tensor, z: Tensor) -> Tensor:
    y[:, 0] = z[:, 0]
    return y


# in place, and the same out of place; y, z [2, 5, 4]
WRITES: dict[str, tuple[Callable[[Tensor, Tensor], Any], Callable[[Tensor, Tensor], Any]]] = {
    "add_": (lambda y, z: y.add_(z), lambda y, z: y + z),
    "mul_": (lambda y, z: y.mul_(0.5), lambda y, z: y * 0.5),
    "relu_": (lambda y, z: torch.relu_(y), lambda y, z: torch.relu(y)),
    "masked_fill_": (
        lambda y, z: y.masked_fill_(z.detach() > 0, 0.0),
        lambda y, z: y.masked_fill(z.detach() > 0, 0.0),
    ),
    "setitem": (_write_column, lambda y, z: torch.cat([z[:, :1], y[:, 1:]], 1)),
    "a view written into": (lambda y, z: (y.view(-1).mul_(2.0), y)[1], lambda y, z: y * 2.0),
}
MAKES: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "linear": lambda m, x: m.a(x),
    "a view": lambda m, x: m.cut(m.a(x)),
    "einsum": lambda m, x: torch.einsum("bti,bsi,bsj->btj", m.a(x), m.b(x).detach(), m.b(x)),
}


class Cut(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[..., :4]


class Net(nn.Module):
    def __init__(self, make: str, write: str, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c, self.head = (nn.Linear(4, n) for n in (4, 4, 4, 2))
        self.cut = Cut()
        self.make, self.write = MAKES[make], WRITES[write][0 if in_place else 1]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.write(self.make(self, x), self.c(x)).mean(1))


def given() -> Tensor:
    return torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1)).double()


LOOKS: dict[str, dict[str, Any]] = {
    "nobody looks": {},
    "a mask": {"masks": {"a": torch.tensor([0.0, 1.0, 2.0, 0.5])}},
    "a mask of a view": {"masks": {"cut": torch.tensor([0.0, 1.0, 2.0, 0.5])}},
    "layers": {"layers": ["a"]},
    "layers and views": {"layers": ["a", "cut"]},
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("write", WRITES)
def test_in_place_equals_out_of_place(write: str, make: str, look: str) -> None:
    if make != "a view":  # the module that makes one does not run
        look = {"a mask of a view": "a mask", "layers and views": "layers"}.get(look, look)
    x = given()
    one, two = (Net(make, write, i).double().eval() for i in (True, False))
    wanted = lxt.attribute(two, x, 0, **LOOKS[look])
    for ledger in (False, True):
        found = lxt.attribute(one, x, 0, ledger=ledger, **LOOKS[look])
        assert relative_error(found.relevance, wanted.relevance) < 1e-12
        for path, value in wanted.layers.items():
            assert relative_error(found.layers[path], value) < 1e-12
    leaf = x.clone().requires_grad_()
    with lxt.patch(one):
        one(leaf)[:, 0].sum().backward()
    plain = lxt.attribute(two, x, 0).relevance
    assert relative_error(x * leaf.grad, plain) < 1e-12


NORMED: dict[str, Callable[[Tensor], Tensor]] = {
    "nothing": lambda y: y,
    "relu_": lambda y: torch.relu_(y),
    "add_": lambda y: y.add_(1.0),
    "setitem": lambda y: _zero_first(y),
    "through a view": lambda y: (y.view(-1).mul_(2.0), y)[1],
}


def _zero_first(y: Tensor) -> Tensor:
    y[y < 0] = 0
    return y


class Conv(nn.Module):
    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(64, 2)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2.0)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.between(self.conv(x)))).flatten(1))


def image() -> Tensor:
    return torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(2)).double()


@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon_alpha2_beta1", "attnlrp_gamma"])
@pytest.mark.parametrize("name", NORMED)
def test_a_batch_norm_merges_only_with_what_it_reads(name: str, composite: str) -> None:
    x = image()
    model = Conv(NORMED[name]).double().eval()
    apart = Conv(lambda y: NORMED[name](y.clone()) if name != "nothing" else y).double().eval()
    found = lxt.attribute(model, x, 0, composite)
    assert relative_error(found.relevance, lxt.attribute(apart, x, 0, composite).relevance) < 1e-12
    booked = lxt.attribute(model, x, 0, composite, ledger=True)
    assert relative_error(found.relevance, booked.relevance) < 1e-12
    assert float(booked.ledger.gap.abs().max()) < 1e-12


@pytest.mark.parametrize("ledger", [False, True])
def test_a_mask_on_a_merged_convolution(ledger: bool) -> None:
    """Ones change nothing, and the channels one by one add up to the whole."""
    x, model = image(), Conv(NORMED["nothing"]).double().eval()
    whole = lxt.attribute(model, x, 0, "epsilon_plus").relevance
    ones = {"conv": torch.ones(1)}
    same = lxt.attribute(model, x, 0, "epsilon_plus", masks=ones, ledger=ledger).relevance
    assert relative_error(same, whole) < 1e-12
    parts = torch.zeros_like(whole)
    for i in range(4):
        mask = torch.zeros(4, 1, 1)
        mask[i] = 1
        at_conv, at_norm = (
            lxt.attribute(model, x, 0, "epsilon_plus", masks={at: mask}, ledger=ledger).relevance
            for at in ("conv", "norm")
        )
        assert relative_error(at_conv, at_norm) < 1e-12
        parts += at_conv
    assert relative_error(parts, whole) < 1e-12


MADE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear of tokens": (lambda: nn.Linear(4, 3), (2, 5, 4)),
    "linear of rows": (lambda: nn.Linear(4, 3), (2, 4)),
    "linear of a vector": (lambda: nn.Linear(4, 3), (4,)),
    "a convolution": (lambda: nn.Conv2d(2, 3, 2), (2, 2, 4, 4)),
    "a convolution of one image": (lambda: nn.Conv2d(2, 3, 2), (2, 4, 4)),
    "a transposed one of one": (lambda: nn.ConvTranspose1d(2, 3, 2), (2, 4)),
    "average pooling of one image": (lambda: nn.AvgPool2d(2), (2, 4, 4)),
    "max pooling of one image": (lambda: nn.MaxPool2d(2), (2, 4, 4)),
    "adaptive pooling of one image": (lambda: nn.AdaptiveAvgPool2d(2), (2, 4, 4)),
    "a layer norm": (lambda: nn.LayerNorm(4), (2, 5, 4)),
    "an RMS norm": (lambda: nn.RMSNorm(4), (2, 5, 4)),
    "a group norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 5)),
    "a batch norm": (lambda: nn.BatchNorm1d(4), (2, 4, 5)),
    "an activation": (lambda: nn.GELU(), (2, 5, 4)),
    "a rectifier": (lambda: nn.LeakyReLU(), (2, 5, 4)),
    "an LSTM": (lambda: First(nn.LSTM(4, 3, batch_first=True)), (2, 5, 4)),
    "attention": (lambda: Itself(nn.MultiheadAttention(4, 2, batch_first=True)), (2, 5, 4)),
    "a product": (lambda: Apply(lambda x: x * x.flip(-1)), (2, 5, 4)),
    "a matrix product": (lambda: Apply(lambda x: x @ x.mT), (2, 5, 4)),
    "a sum": (lambda: Apply(lambda x: x + x.flip(0)), (2, 5, 4)),
}


class Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class First(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)[0]


class Itself(First):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x, x, x, need_weights=False)[0]


class Written(nn.Module):
    def __init__(self, made: str, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = MADE[made][0]()
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x * 2.0)
        z = y.mul_(0.5) if self.in_place else y * 0.5
        return (z * z.flip(-1)).flatten()[None, 1:]


@pytest.mark.parametrize("composite", ["attnlrp", "epsilon", "epsilon_plus_ratio"])
@pytest.mark.parametrize("made", MADE)
def test_what_an_operation_returns_may_be_written_into(made: str, composite: str) -> None:
    """Also where torch ends in a view of what it computed."""
    x = torch.randn(MADE[made][1], generator=torch.Generator().manual_seed(3)).double()
    one, two = (Written(made, i).double().eval() for i in (True, False))
    wanted = lxt.attribute(two, x, 0, composite).relevance
    assert wanted.abs().sum() > 0
    for ledger in (False, True):
        found = lxt.attribute(one, x, 0, composite, ledger=ledger).relevance
        assert relative_error(found, wanted) < 1e-12
