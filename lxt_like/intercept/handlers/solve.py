"""Linear systems: X = A^-1 B, as delta rules solve them chunk by chunk."""

from __future__ import annotations

from typing import Any

import torch

from ...rules.base import Gradient
from ..registry import ENTRIES, Entry, Func
from ..session import Session
from .common import is_active


def _solve(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The system A is held constant: it says how values mix; X is linear in B and conserves."""
    a, b, *rest = args
    if not (is_active(a) or is_active(b)):
        return func(*args, **kwargs)
    if isinstance(session.rule("bilinear", func), Gradient):
        out = func(*args, **kwargs)
    else:
        out = func(a.detach(), b, *rest, **kwargs)
    session.claim(out, args, kwargs)
    return out


for _f in (torch.linalg.solve_triangular, torch.linalg.solve):
    ENTRIES[_f] = Entry(_f.__name__, "matmul", _solve)
