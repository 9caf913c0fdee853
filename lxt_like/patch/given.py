"""Whether what a patched model is called with can be explained."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import InputError, PatchError
from ..intercept.given import tensors_in


def refuse_layout(name: str, t: torch.Tensor) -> None:
    """Raise InputError for tensors that do not hold their values place by place."""
    if t.is_nested:
        raise InputError(
            f"{name} is a nested tensor (layout {t.layout}), which has no relevance place by "
            "place; pad its parts to one length (torch.nested.to_padded_tensor) and give the model "
            "a mask, or explain them one by one"
        )
    if t.layout is not torch.strided:
        raise InputError(f"{name} is sparse (layout {t.layout}); give {name}.to_dense()")


def refuse_given(given: Any) -> None:
    """Refuse what would silently get the plain gradient.

    Raises:
        InputError: for a parameter, which rules would take for one of the model's weights, and
            for sparse and nested tensors.
        PatchError: inside torch.func or vmap, where tensors take no rules.
    """
    if torch._C._are_functorch_transforms_active() and torch.is_grad_enabled():
        raise PatchError(
            "a patched model runs inside torch.func or torch.vmap, whose wrapped tensors take no "
            "rules; call it with plain tensors, and backward(), outside the transform (or under "
            "torch.no_grad(), for its output alone)"
        )
    for t in tensors_in(given):
        if t.requires_grad:
            refuse_layout("an input to explain", t)
    if any(isinstance(t, nn.Parameter) and t.requires_grad for t in tensors_in(given)):
        raise InputError(
            "an input to explain is an nn.Parameter, which the rules would take for a weight; "
            "give x.detach().requires_grad_()"
        )
