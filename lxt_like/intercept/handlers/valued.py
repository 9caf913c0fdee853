"""The value of one kernel with the gradient of the steps that it stands for."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...rules.base import RuleFunction


class _Valued(RuleFunction):
    @staticmethod
    def forward(ctx: Any, steps: Tensor, value: list[Tensor]) -> Tensor:
        return value[0]  # in a list: an input handed back as it is would be a view

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g, None


def valued(steps: Tensor, value: Tensor) -> Tensor:
    """``value``, bit for bit, whose relevance goes the way of ``steps``, equal up to rounding."""
    value = value.detach()  # the kernel's own graph goes
    return _Valued.apply(steps, [value]) if steps.requires_grad else value
