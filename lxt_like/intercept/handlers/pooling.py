"""Pooling, maxima and padding: the plain gradient is the rule."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...numerics import Amount, inner
from ..registry import ENTRIES, Entry, Func, functions, handles, register
from ..roles import hand_on
from ..session import Session
from ..tags import carry
from ..twins import Step, put_twin, twin

_NAMES = """
    max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    amax amin max min maximum minimum fmax fmin interpolate upsample pad_sequence
    hypot copysign cdist dist
""".split()

register("pooling", [n for n in _NAMES if functions(n)])


@handles("pooling", "pad", "constant_pad_nd")
def _pad(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Padding with a number adds no input; the other modes repeat the input's own values."""
    out = func(*args, **kwargs)
    if session.first_layer:
        number = 3 if ENTRIES[func].name == "pad" else 2
        rest = {k: v for k, v in kwargs.items() if k != "value"}
        place = partial(_call, func, args[1:], kwargs)
        _frame(session, out, args[0], partial(_call, func, args[1:number], rest), place)
    hand_on(func, args, kwargs, out)
    return out


def _cut(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Patches cut out of the input, and of a frame of zeros around it."""
    out = func(*args, **kwargs)
    carry(args[0], out)
    if session.first_layer:
        move = partial(_call, func, args[1:], kwargs)
        _frame(session, out, args[0], move, move)
    return out


# Tensor.unfold, of the same name, only moves
ENTRIES[F.unfold] = Entry("unfold", "pooling", _cut)


def _call(func: Func, rest: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor) -> Tensor:
    out: Tensor = func(x, *rest, **kwargs)
    return out


def _frame(session: Session, out: Tensor, x: Any, move: Step, place: Step) -> None:
    """The twin goes where ``x`` goes; what falls on zeros that ``move`` adds is no input's.

    ``place``: what was done to ``x``, with the number that its frame holds.
    """
    found = twin(x)
    if found is None:
        return
    moved = move(found.tensor)
    put_twin(out, found.after(place, moved))
    if session.measure is not None:
        inside = move(torch.ones_like(found.tensor))
        session.measure.declare(moved, partial(_frame_share, inside == 0))


def _frame_share(frame: Tensor, r: Tensor) -> dict[str, Amount]:
    """The relevance that fell on a frame of constants."""
    return {"constant": inner(r, frame)}
