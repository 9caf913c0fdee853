"""Roles of tensors: which factor of a later product is a weight, and which the signal.

A role is a Python attribute of the tensor that an operation returned; it survives views, casts,
selection and scaling by constants, and dies with the tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..rules.activation import Activation

_ATTRIBUTE = "_lxt_tag"

RANK = {"scale": 4, "softmax": 3, "gate": 2, "activation": 1}
"""The roles that can make a factor the weight; in a product of two weights the higher one is."""


@dataclass(frozen=True, slots=True)
class Tag:
    """``role``: scale (of a norm), softmax, gate, activation, or odd (tanh, erf: a gate once 1
    is added).  ``activation``: how to compute the value again, if it is one activation's output.
    """

    role: str
    activation: Activation | None = None


def tag(t: Any) -> Tag | None:
    """The tag of a tensor, if it has one."""
    return getattr(t, _ATTRIBUTE, None)


def put(t: Any, value: Tag | None) -> None:
    """Tag one tensor, or every tensor of a tuple or list of outputs."""
    if isinstance(t, Tensor):
        if value is not None:
            setattr(t, _ATTRIBUTE, value)
    elif isinstance(t, (tuple, list)):
        for item in t:
            put(item, value)


def carry(source: Any, out: Any) -> None:
    """Give ``out`` the role of ``source``; the recipe does not survive a change of shape."""
    found = tag(source)
    if found is not None and out is not source:
        put(out, Tag(found.role))


def rank(t: Any) -> int:
    """How much of a weight the tensor is; 0 if it has no such role."""
    found = tag(t)
    return 0 if found is None else RANK.get(found.role, 0)
