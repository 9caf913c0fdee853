"""A linear operation under its rule: what F.linear, convolutions and products share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ...errors import RuleError
from ...rules.base import Rule
from ...rules.first import FirstLayerRule
from ...rules.linear import LinearRule
from ...rules.maps import LinearMap
from ..registry import ENTRIES, Func
from ..session import Session
from ..tags import is_weight
from ..twins import twin
from .common import is_active


def ruled(
    session: Session,
    rule: Rule,
    func: Func,
    call: Callable[[Tensor], Tensor],
    made: LinearMap,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
) -> Tensor:
    """The linear operation ``call(x)`` under ``rule``; a bias that is a signal is a summand."""
    assert isinstance(rule, LinearRule)
    signal = bias if is_active(bias) and not is_weight(bias) else None
    straight = None
    if isinstance(rule, FirstLayerRule):
        found = twin(x)
        if found is None:
            raise RuleError(
                f"{rule!r} gives relevance to inputs that are 0, so it can only be used where the "
                f"explained input itself, moved or normalised at most, enters a linear operation; "
                f"this {ENTRIES[func].name} in {session.path or 'the model'} reads something else. "
                'Assign it with where="first", to a model that takes a float tensor'
            )
        straight = found.tensor
        rule = rule.carried(found.source, found.carry, x.detach())
    if signal is None:
        return rule.linear(call, made, x, weight, bias, session.measure, straight)
    if rule.is_gradient:
        return rule.linear(call, made, x, weight, None, session.measure, straight)
    alone = partial(_product, made, weight)
    product = rule.linear(alone, made, x, weight, None, session.measure, straight)
    out = product + made.spread_bias(signal, product)
    value = call(x).detach()
    with torch.no_grad():  # in one kernel it may be rounded otherwise
        return out.copy_(value)


def _product(made: LinearMap, weight: Tensor, x: Tensor) -> Tensor:
    return made.forward(x, weight)
