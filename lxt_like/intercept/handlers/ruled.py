"""A linear operation under its rule: what F.linear, convolutions and products share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ...errors import RuleError
from ...rules.base import Rule, refuse_complex
from ...rules.first import FirstLayerRule
from ...rules.linear import LinearRule
from ...rules.maps import LinearMap
from ..registry import ENTRIES, Func
from ..session import Session
from ..twins import twin


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
    """The linear operation ``call(x)`` under ``rule``."""
    assert isinstance(rule, LinearRule)
    straight = None
    if isinstance(rule, FirstLayerRule):
        refuse_complex(rule, x, weight)
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
    return rule.linear(call, made, x, weight, bias, session.measure, straight)
