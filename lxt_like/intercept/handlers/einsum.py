"""einsum: a matrix product of two tensors, their product element by element, or a sum of one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..registry import Func, handles
from ..session import Session
from ..tags import carry, rank
from ..twins import put_twin, twin
from .bilinear import pair, times_constant
from .common import is_active, subscripts
from .product import product


@handles("matmul", "einsum")
def _einsum(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    equation, *operands = args
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    args = (equation, *operands)
    if len(operands) == 1:
        return _of_one(session, func, equation, operands[0])
    if len(operands) == 2 and any(is_active(t) for t in operands):
        factors = _side_by_side(session, equation, operands)
        if factors is not None:
            return product(session, torch.mul, factors, {})
    live = [i for i, t in enumerate(args) if is_active(t)]
    if len(live) == 2:
        return pair(session, func, args, kwargs, (live[0], live[1]))
    if len(live) == 1:
        return times_constant(session, func, args, kwargs, live[0], None)
    out = func(*args, **kwargs)
    session.note(out, func)
    return out


def _of_one(session: Session, func: Func, equation: str, x: Tensor) -> Tensor:
    """A transpose, a diagonal or a plain sum: coefficients of 1, so it needs no rule."""
    out: Tensor = func(equation, x)
    before, arrow, after = equation.replace(" ", "").partition("->")
    letters = before.replace(".", "")
    sums = bool(set(before) - set(after)) if arrow else len(set(letters)) < len(letters)
    if not sums or rank(x) > 1:  # a sum of weights is a weight, of activations a signal
        carry(x, out)
    if not sums:  # every element of the output is one of the input
        found = twin(x) if session.first_layer else None
        move = partial(func, equation)
        put_twin(out, None if found is None else found.after(move, move(found.tensor)))
    return out


def _side_by_side(
    session: Session, equation: Any, operands: Sequence[Tensor]
) -> tuple[Tensor, ...] | None:
    """The two factors as ``*`` takes them, where einsum sums over nothing; else None."""
    if not isinstance(equation, str) or equation.count(",") != 1:
        return None
    before, arrow, after = equation.replace(" ", "").partition("->")
    named = [subscripts(term, t.dim()) for term, t in zip(before.split(","), operands, strict=True)]
    every = [i for indices in named for i in indices]
    if arrow:
        wide = max(sum(i[0] == "." for i in indices) for indices in named)
        wanted = subscripts(after, wide + len(after.replace("...", "")))
    else:
        wanted = sorted({i for i in every if i[0] == "."}, reverse=True)
        wanted += sorted(i for i in set(every) if i[0] != "." and every.count(i) == 1)
    if set(every) != set(wanted) or any(len(set(n)) < len(n) for n in named):
        return None
    return tuple(
        _laid(session, t, indices, wanted) for t, indices in zip(operands, named, strict=True)
    )


def _laid(session: Session, t: Tensor, indices: list[str], wanted: list[str]) -> Tensor:
    """``t`` with its dimensions in the order of the output, and 1 for those it lacks."""
    order = [indices.index(i) for i in wanted if i in indices]
    lacking = tuple(slice(None) if i in indices else None for i in wanted)
    if order == list(range(len(order))) and None not in lacking:
        return t
    lay = partial(_permuted, order, lacking)
    out = lay(t)
    carry(t, out)
    found = twin(t) if session.first_layer else None
    put_twin(out, None if found is None else found.after(lay, lay(found.tensor)))
    return out


def _permuted(order: list[int], lacking: tuple[slice | None, ...], t: Tensor) -> Tensor:
    return t.permute(order)[lacking]
