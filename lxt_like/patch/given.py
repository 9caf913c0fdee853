"""What a patched model is called with: where it came from, and whether it can be explained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, PatchError


def nodes_of(given: Iterable[Any]) -> list[Any]:
    """What made the tensors that a model is called with.

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
    found = [t for t in given if isinstance(t, Tensor) and t.requires_grad]
    if any(isinstance(t, nn.Parameter) for t in found):
        raise InputError(
            "an input to explain is an nn.Parameter, which the rules would take for a weight; "
            "give x.detach().requires_grad_()"
        )
    return [t.grad_fn for t in found if t.grad_fn is not None]
