"""The twin of an explained input: where rules that give relevance to zeros leave it.

It follows what only moves, shifts or scales the input, and so can values given at the input: the
bounds of a z-box, which the operation must know where it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..rules.live import is_active
from .registry import Func

_TWIN = "_lxt_twin"

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Twin:
    """Has the shape of the tensor it belongs to; its gradient is relevance as it stands.

    Attributes:
        tensor: what receives the relevance.
        source: the explained input's own twin.
        path: what was done to the explained input, up to here.
    """

    tensor: Tensor
    source: Tensor
    path: tuple[Step, ...] = ()
    version: int = field(default=0, compare=False)

    @staticmethod
    def of(tensor: Tensor) -> Twin:
        """The twin of an explained input itself."""
        return Twin(tensor, tensor)

    def after(self, step: Step, tensor: Tensor | None = None) -> Twin:
        """The twin one step on; ``tensor``: what receives there, if places have moved."""
        kept = self.tensor if tensor is None else tensor
        return replace(self, tensor=kept, path=(*self.path, step))

    def carry(self, values: Tensor) -> Tensor:
        """``values`` at the explained input, taken to where the twin is now."""
        with torch.no_grad():
            for step in self.path:
                values = step(values)
        return values


def twin(t: Any) -> Twin | None:
    """The twin of a tensor, unless somebody has written into it since."""
    found: Twin | None = getattr(t, _TWIN, None)
    return found if found is not None and found.version == t._version else None


def put_twin(t: Any, value: Twin | None) -> None:
    """Make ``value`` the twin of ``t``, if it has its shape."""
    if value is not None and isinstance(t, Tensor) and t.shape == value.tensor.shape:
        setattr(t, _TWIN, replace(value, version=t._version))


def move_twin(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``out``: what ``func`` made by moving the elements of its first argument."""
    found = twin(args[0]) if args else None
    if found is None:
        return
    moved = func(found.tensor, *args[1:], **kwargs)
    if isinstance(out, Tensor):
        put_twin(out, found.after(_step(func, args, kwargs), moved))
        return
    for i, (part, mate) in enumerate(zip(out, moved, strict=True)):
        put_twin(part, found.after(_step(partial(_part, func, i), args, kwargs), mate))


def move_twin_in_place(
    found: Twin, func: Func, rest: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor
) -> None:
    """``x``: moved as ``func(x, *rest, **kwargs)`` moves elements; ``found`` was its twin."""
    moved = func(found.tensor, *rest, **kwargs)
    put_twin(x, found.after(_step(func, (x, *rest), kwargs), moved))


def cast_twin(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """``out``: the first argument in another dtype, or at another place."""
    found = twin(args[0]) if args else None
    if found is not None:
        put_twin(out, found.after(_step(func, args, kwargs)))


def shift_twin(
    func: Func,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    out: Any,
    before: tuple[Twin | None, ...] | None = None,
) -> None:
    """``out``: an explained input shifted or scaled by a constant; it takes the relevance whole.

    ``func`` does so out of place; ``before``: the arguments' twins, if ``out`` is one of them.
    """
    mates = tuple(twin(t) for t in args[:2]) if before is None else before
    at = [i for i, m in enumerate(mates) if m is not None]
    signals = [t for t in args[:2] if is_active(t)]
    if len(at) == 1 and len(signals) == 1:
        found = mates[at[0]]
        assert found is not None
        put_twin(out, found.after(_step(func, args, kwargs, at[0])))


def _part(func: Func, which: int, *args: Any, **kwargs: Any) -> Tensor:
    out: Tensor = func(*args, **kwargs)[which]
    return out


def _step(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], at: int = 0) -> Step:
    """``func`` of another tensor in place of argument ``at``, which is not kept alive."""
    return partial(_call, func, (*args[:at], None, *args[at + 1 :]), kwargs, at)


def _call(
    func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], at: int, value: Tensor
) -> Tensor:
    out: Tensor = func(*args[:at], value, *args[at + 1 :], **kwargs)
    return out
