"""What a patched model is called with: where it came from, and whether it can be explained."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import InputError, PatchError
from ..intercept.tags import flat
from ..rules.live import explain_at


def explain_given(given: tuple[Any, ...]) -> bool:
    """Whether a model is called with tensors to explain, wherever they come from.

    Raises:
        InputError: for a parameter, which rules would take for one of the model's weights.
        PatchError: inside torch.func or vmap, which would silently get the plain gradient.
    """
    if torch._C._are_functorch_transforms_active() and torch.is_grad_enabled():
        raise PatchError(
            "a patched model runs inside torch.func or torch.vmap, whose wrapped tensors take no "
            "rules; call it with plain tensors, and backward(), outside the transform (or under "
            "torch.no_grad(), for its output alone)"
        )
    if any(isinstance(t, nn.Parameter) and t.requires_grad for t in given):
        raise InputError(
            "an input to explain is an nn.Parameter, which the rules would take for a weight; "
            "give x.detach().requires_grad_()"
        )
    found = [t for t in flat(given) if t.requires_grad and not isinstance(t, nn.Parameter)]
    for t in found:
        explain_at(t)
    return bool(found)
