"""Low precision: no NaN, and the errors that docs/rules.md states."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import rules
from tests.support import random
from tests.test_cnns import COMMON, FIRST, LINEAR

STATED = {torch.float32: 1e-6, torch.float16: 5e-4, torch.bfloat16: 4e-3}
"""Relative error of a convolution's relevance against float64, as the documentation has it."""


class Seen:
    """The positive outputs, weighted at random."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, out: Tensor) -> Tensor:
        return (torch.relu(out) * self.weight).flatten(1).sum(1)


def relevance(rule: rules.Rule, conv: nn.Module, x: Tensor, weight: Tensor) -> Tensor:
    last = lxt.Assign(rule, where="first") if rule in FIRST else rule
    found: Tensor = lxt.attribute(
        nn.Sequential(conv), x, lxt.targets.Output(Seen(weight)), lxt.Composite([*COMMON, last])
    ).relevance
    return found


@pytest.mark.parametrize("dtype", STATED, ids=str)
@pytest.mark.parametrize("rule", [*LINEAR, *FIRST], ids=repr)
def test_errors_are_as_stated(rule: rules.Rule, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 12, 3, padding=1).to(dtype).eval()
    exact = nn.Conv2d(8, 12, 3, padding=1).double().eval()
    exact.load_state_dict(conv.state_dict())
    x, weight = random(2, 8, 9, 9, dtype=dtype).clamp(min=0), random(2, 12, 9, 9, dtype=dtype)
    got = relevance(rule, conv, x, weight)
    want = relevance(rule, exact, x.double(), weight.double())
    assert got.dtype == torch.float32
    # a denominator without the bias is what is left of an output rounded with it
    room = 20 if getattr(rule, "zero_bias", False) and isinstance(rule, rules.Epsilon) else 1
    assert float((got - want).norm() / want.norm()) < room * STATED[dtype]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rule", [*LINEAR, *FIRST], ids=repr)
def test_zeros_give_no_nan(rule: rules.Rule, dtype: torch.dtype) -> None:
    conv = nn.Conv2d(2, 3, 3, padding=1).to(dtype).eval()
    conv.weight.data[0] = 0.0
    conv.bias.data.zero_()
    x = torch.zeros(1, 2, 5, 5, dtype=dtype)
    x[0, 0, 2, 2] = torch.finfo(dtype).tiny
    found = relevance(rule, conv, x, torch.ones(1, 3, 5, 5, dtype=dtype))
    assert bool(torch.isfinite(found).all())
