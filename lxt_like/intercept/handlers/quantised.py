"""Linear layers whose weights are packed into 4 or 8 bits: autograd functions of bitsandbytes.

torchao's packed weights are tensors that answer to F.linear, so they need nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...numerics import Amount, inner
from ...rules.maps import Dense
from ..functions import handles_function
from ..graph import claim_node
from ..mode import active
from ..session import Session
from .common import is_active
from .ruled import ruled

_MODULE = "bitsandbytes.autograd._functions"


@handles_function(f"{_MODULE}.MatMul4Bit")
def _four_bits(session: Session, cls: Any, args: tuple[Any, ...]) -> Any:
    x, packed, _, bias, state = args

    def unpacked() -> Tensor:
        from bitsandbytes.functional import dequantize_4bit

        weight: Tensor = dequantize_4bit(packed, state)
        return weight.to(x.dtype)

    return _linear(session, cls, args, x, unpacked, bias)


@handles_function(f"{_MODULE}.MatMul8bitFp")
@handles_function(f"{_MODULE}.MatMul8bitLt")
def _eight_bits(session: Session, cls: Any, args: tuple[Any, ...]) -> Any:
    x, _, _, bias, state = args

    def unpacked() -> Tensor:
        weight: Tensor = state.CB.to(x.dtype) * (state.SCB.to(x.dtype).unsqueeze(1) / 127)
        return weight

    return _linear(session, cls, args, x, unpacked, bias)


def _linear(
    session: Session,
    cls: Any,
    args: tuple[Any, ...],
    x: Tensor,
    unpacked: Callable[[], Tensor],
    bias: Tensor | None,
) -> Any:
    """y = x W^T + b by the kernel of ``cls``; W is unpacked only for a rule that needs it.

    What the kernel loses by rounding weights or inputs, (y - x W^T - b) g, is ``rounding``.
    """

    def call(x: Tensor) -> Tensor:
        out: Tensor = cls.__mro__[1].apply.__func__(cls, x, *args[1:])
        return out

    def run(x: Tensor) -> Tensor:
        rule = session.rule("linear", F.linear)
        if session.is_plain(rule):
            out = call(x)
        else:
            weight = unpacked()
            out = ruled(session, rule, F.linear, call, Dense(), x, weight, bias)
            if session.measure is not None:
                lost = out.detach() - F.linear(x.detach(), weight, bias)
                session.measure.declare(out, partial(_lost, lost))
        claim_node(out)
        return out

    with active(None):
        if session.measure is None or not is_active(x):
            return run(x)
        return session.measure.measured(
            session, F.linear, lambda given, _: run(given[0]), (x,), {}, "linear"
        )


def _lost(lost: Tensor, g: Tensor) -> dict[str, Amount]:
    return {"rounding": inner(lost, g)}
