"""torch.func and vmap inside a model: they wrap tensors, which then can take no rule.

What they run keeps its plain gradient.  The walk finds its nodes, and judges them as any others.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .registry import Func, name_of
from .session import Session
from .tags import flat

transformed = torch._C._are_functorch_transforms_active
"""Whether one of them is running."""


def run_transformed(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``func`` as the model wrote it.

    Raises:
        UnruledError: strict, and a ledger is kept, which cannot see what ``func`` adds.
    """
    if session.measure is not None and any(map(_is_live, flat((*args, *kwargs.values())))):
        session.refuse(
            f"{name_of(func)} runs inside torch.vmap or torch.func, where no account can be kept; "
            "write it with plain tensors, or explain without a ledger"
        )
    return func(*args, **kwargs)


def _is_live(t: Tensor) -> bool:
    """Whether a gradient is to reach what is under the wrappers."""
    while torch._C._functorch.is_functorch_wrapped_tensor(t):
        t = torch._C._functorch.get_unwrapped(t)
    return t.requires_grad
