"""A model that takes a gradient inside its forward, and goes on with it.

Rules change gradients, so such a model would compute another output than its own.  The caller's
backward, and a reentrant checkpoint's, run where nothing is intercepted.
"""

from __future__ import annotations

from typing import Any

import torch

from . import causes
from .registry import Func, name_of
from .session import Session
from .tags import flat

DERIVATIVES: frozenset[Func] = frozenset(
    (torch.autograd.grad, torch.autograd.backward, torch.Tensor.backward)
)
"""What runs autograd's engine."""


def differentiate(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run ``func``, a derivative, inside the model's forward.

    Raises:
        UnruledError: strict, and the composite has rules that change it.
    """
    if not (session.plain or session.counting):
        session.refuse(
            f"the model's forward takes a gradient itself ({name_of(func)}), and the rules change "
            "the gradients of what they apply to, so its output would be another than without "
            "them. What to do: give the model what it computes so as an input, or explain it "
            "under composite='gradient', which changes none"
        )
    measure = session.measure
    if measure is None:
        return func(*args, **kwargs)
    with measure.sums.aside():
        out = func(*args, **kwargs)
    causes.mark(out, list(flat((*args, *kwargs.values()))), func, session.path, measure.names)
    return out
