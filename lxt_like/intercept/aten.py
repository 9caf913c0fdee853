"""Operations called by aten's own names: the torch functions that they are."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch._ops import OpOverload, OpOverloadPacket

from .registry import ENTRIES, Func, functions
from .tags import flat

ATEN = frozenset((OpOverload, OpOverloadPacket))
"""The types of ``torch.ops.aten.relu.default`` and ``torch.ops.aten.relu``."""


def as_torch(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Func, tuple[Any, ...], dict[str, Any]]:
    """The same call of a torch function, if there is one; only where a signal comes in.

    What makes constants alone takes arguments that its torch function does not.
    """
    found = _torch_function(func)
    if found is None or "out" in kwargs:
        return func, args, kwargs
    if not any(t.requires_grad for t in flat((*args, *kwargs.values()))):
        return func, args, kwargs
    if not args and "self" in kwargs:
        kwargs = dict(kwargs)
        args = (kwargs.pop("self"),)
    return found, args, kwargs


@cache
def _torch_function(func: Any) -> Func | None:
    packet = func.overloadpacket if isinstance(func, OpOverload) else func
    space, _, name = packet._qualified_op_name.partition("::")
    if space != "aten":
        return None
    # those written in Python order their arguments as they like
    found = [f for f in functions(name) if not hasattr(f, "__code__")]
    if name == "embedding" or not found:
        return None
    return next((f for f in found if f in ENTRIES), found[0])
