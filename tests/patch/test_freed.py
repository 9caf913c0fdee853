"""What is gone is not kept: classes of models and of their functions."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import UnruledWarning
from tests.support import inline, random


def test_classes_of_models_that_are_gone_are_not_kept() -> None:
    def run() -> Any:
        class Own(nn.Linear):
            pass

        class Twice(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor) -> Tensor:
                return x * 2

            @staticmethod
            def backward(ctx: Any, g: Tensor) -> Tensor:
                return g * 2

        model = inline(lambda m, x: Twice.apply(m.a(x)))
        model.own = Own(2, 2)
        lxt.attribute(model, random(2, 6), 0, "epsilon_plus", strict=False)
        lxt.plan(model)
        return weakref.ref(Own), weakref.ref(Twice)

    with pytest.warns(UnruledWarning):
        kept = run()
    gc.collect()
    assert [ref() for ref in kept] == [None, None]
