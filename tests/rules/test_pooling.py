"""Pooling: the average is linear, the maximum's winner takes all; ties as documented."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.oracles import pooling as oracle
from tests.oracles.arrays import relative_error
from tests.support import account as account_of
from tests.support import draw, explained, random


@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
@pytest.mark.parametrize("options", [{"stride": 2}, {"stride": 1, "padding": 1}])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_pooling(name: str, options: dict[str, int], dims: int) -> None:
    x = random(2, 2, *(5, 4, 4)[:dims]).requires_grad_()
    out = getattr(F, f"{name}{dims}d")(x, kernel_size=2, **options)
    R, (R_x,) = explained(out, x)
    definition = oracle.max_pool if name == "max_pool" else oracle.average_pool
    assert relative_error(R_x, definition(x, R, kernel=2, **options)["x"]) < 1e-12


def test_ties() -> None:
    x = torch.tensor([[2.0, 2.0, 1.0]], requires_grad=True)
    assert torch.autograd.grad(x.amax(-1).sum(), x)[0].tolist() == [[0.5, 0.5, 0.0]]
    assert torch.autograd.grad(x.max(), x)[0].tolist() == [[0.5, 0.5, 0.0]]
    assert torch.autograd.grad(x.max(-1).values.sum(), x)[0].count_nonzero() == 1


POOLS = [
    nn.MaxPool2d(2),
    nn.AvgPool2d(2, padding=1),
    nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveMaxPool2d((2, 1)),
    nn.Upsample(scale_factor=2, mode="bilinear"),
    nn.ZeroPad2d(1),
    nn.ReflectionPad2d(1),
]


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_in_a_network(pool: nn.Module) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.pool, self.last = nn.Conv2d(2, 3, 2), pool, nn.Conv2d(3, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.pool(self.first(x))).mean((2, 3))

    account_of(draw(Net()).double(), random(2, 2, 6, 6))
