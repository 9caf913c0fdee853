"""A lean run takes all that requires grad for a signal, until it meets a weight that does too.

A model's own parameters are frozen.  What it does not own is not: a parameter or another leaf in a
list, in a closure, or behind a tensor that was computed before.  Rules may detach it, so that the
graph of the score would not show it any more: it has to be seen when an operation takes it in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..errors import UnruledError
from ..rules.base import RuleFunction
from ..rules.live import is_live, is_weight_leaf


class ForeignWeightError(UnruledError):
    """A weight that requires grad is no part of the model."""

    def __init__(self) -> None:
        super().__init__("a weight that the model does not own requires grad")


def now() -> int:
    """The number that autograd gives a node that is made now; later ones get larger numbers."""
    node: Any = torch.zeros((), requires_grad=True).view(()).grad_fn
    number: int = node._sequence_nr()
    return number


def check_trusted(values: Iterable[Any], start: int) -> None:
    """Raise ForeignWeightError if one of ``values`` requires grad and does not come from the input.

    What intercepted operations made since ``start`` does, because they were checked.
    """
    for t in values:
        if isinstance(t, Tensor):
            if t.requires_grad and _is_foreign(t, start):
                raise ForeignWeightError
        elif isinstance(t, (tuple, list)):
            check_trusted(t, start)


def _is_foreign(t: Tensor, start: int) -> bool:
    node: Any = t.grad_fn
    if node is None:
        return is_weight_leaf(t)
    if node._sequence_nr() >= start and not _is_custom(node):
        return False
    return not is_live(node)


def _is_custom(node: Any) -> bool:
    """Whether a custom function made it, which is not intercepted."""
    return isinstance(node, torch._C._FunctionBase) and not issubclass(
        getattr(node, "_forward_cls", RuleFunction), RuleFunction
    )
