"""Where an error says that an operation without a rule is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt


class Opaque(torch.autograd.Function):
    """A doubling that only the walk over the graph can see."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g * 2


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = Opaque.apply(x)
        return out


class Net(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(3, 3), nn.Identity(), nn.Linear(3, 3)
        if isinstance(function, nn.Module):
            self.act = function
            function = nn.Identity()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.function(self.act(self.first(x))))
        return out


@pytest.mark.parametrize(
    ("function", "place"),
    [
        (torch.atan, r"AtanBackward0 \(torch\.atan in the model\)"),
        (Double(), r"OpaqueBackward \(in act\)"),
        # the walk sees the node only from the layer that it feeds
        (Opaque.apply, r"OpaqueBackward \(in last, or before it\)"),
    ],
    ids=["intercepted", "module", "inline"],
)
def test_place_is_named_as_far_as_it_is_known(function: Any, place: str) -> None:
    with pytest.raises(lxt.LxtError, match=place):
        lxt.attribute(Net(function), torch.randn(2, 3))
