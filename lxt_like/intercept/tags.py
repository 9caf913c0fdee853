"""Roles of tensors: which factor of a later product is a weight, and which the signal.

A role is a Python attribute of the tensor that an operation returned; it survives views, casts,
selection and scaling by constants, and dies with the tensor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..rules.activation import Activation

ROLE = "_lxt_tag"

RANK = {"scale": 4, "softmax": 3, "gate": 2, "activation": 1}
"""The roles that can make a factor the weight; in a product of two weights the higher one is."""


@dataclass(frozen=True, slots=True)
class Tag:
    """``role``: scale (of a norm), softmax, gate, activation, or odd (tanh, erf: a gate once 1
    is added).  ``activation``: how to compute the value again, if it is one activation's output;
    ``versions``: of that output and its input when that was true.  ``axis``: over which a softmax
    was taken, counted from the end; None where that is not known any more.
    """

    role: str
    activation: Activation | None = None
    versions: tuple[int, int] = (0, 0)
    axis: int | None = None


def recipe(t: Tensor) -> Activation | None:
    """How to compute ``t`` again, unless it or what it came from was overwritten since."""
    found = tag(t)
    if found is None or found.activation is None:
        return None
    now = (t._version, found.activation.x._version)
    return found.activation if now == found.versions else None


def put_activation(out: Tensor, role: str, source: Activation) -> None:
    """Tag ``out`` as the output of ``source``."""
    put(out, Tag(role, source, (out._version, source.x._version)))


def tag(t: Any) -> Tag | None:
    """The tag of a tensor, if it has one."""
    return getattr(t, ROLE, None)


def flat(values: Iterable[Any]) -> Iterable[Tensor]:
    """The tensors among ``values``, also inside lists and tuples."""
    for v in values:
        if isinstance(v, Tensor):
            yield v
        elif isinstance(v, (tuple, list)):
            yield from flat(v)


def put(t: Any, value: Tag | None) -> None:
    """Tag one tensor, or every tensor of a tuple or list of outputs."""
    if isinstance(t, Tensor):
        if value is not None:
            setattr(t, ROLE, value)
    elif isinstance(t, (tuple, list)):
        for item in t:
            put(item, value)


def replace(t: Tensor, value: Tag | None) -> None:
    """Give an overwritten tensor the role of what is in it now."""
    if value is not None:
        setattr(t, ROLE, value)
    elif hasattr(t, ROLE):
        delattr(t, ROLE)


def carry(source: Any, out: Any) -> None:
    """Give ``out`` the role of ``source``; the recipe does not survive a change of shape."""
    found = tag(source)
    if found is not None and out is not source:
        for t in flat((out,)):
            put(t, Tag(found.role, axis=follow(source, found.axis, t)))


def follow(source: Tensor, axis: int | None, out: Tensor) -> int | None:
    """Where the axis of ``source`` lies in what it was moved or broadcast to; None: unknown."""
    if axis is None or source.shape[axis] == 1:
        return None
    if source.untyped_storage().data_ptr() == out.untyped_storage().data_ptr():
        step = source.stride(axis)
        at = [i for i in range(-out.dim(), 0) if out.shape[i] > 1 and out.stride(i) == step]
        return at[0] if len(at) == 1 else None
    if out.dim() < -axis:
        return None
    right = zip(source.shape[axis:][1:], out.shape[axis:][1:], strict=True)
    same = all(b in (a, 1) for b, a in right)
    # joined with axes to its left, or parted from them, it stays where it is
    moved = source.shape[axis] == out.shape[axis] or source.numel() == out.numel()
    return axis if same and moved else None


def rank(t: Any) -> int:
    """How much of a weight the tensor is; 0 if it has no such role."""
    found = tag(t)
    return 0 if found is None else RANK.get(found.role, 0)
