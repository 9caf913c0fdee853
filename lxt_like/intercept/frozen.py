"""Parameters that a patch froze, and what is computed from them.

Where a factor requires grad, torch folds the other into a matrix, and otherwise only what it can
fold without a copy: products differ in their last bits.  A patched model computes what it does
without the patch, so the product is folded as if the parameter still required grad.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .session import Session
from .tags import flat

_FROZEN = "_lxt_frozen"


def is_frozen(session: Session, t: Any) -> bool:
    """Whether ``t`` would require grad had the patch not frozen parameters."""
    if not session.froze or not isinstance(t, Tensor) or t.requires_grad:
        return False
    base = t._base
    return _is_frozen(session, t) or (base is not None and _is_frozen(session, base))


def _is_frozen(session: Session, t: Tensor) -> bool:
    return id(t) in session.froze or getattr(t, _FROZEN, False)


def mark_frozen(session: Session, args: Iterable[Any], out: Any) -> None:
    """Remember what was computed from frozen parameters, not on the model's own tensors."""
    made = [t for t in flat((out,)) if not t.requires_grad and t.is_floating_point()]
    if not made:
        return
    given = list(flat(args))
    if any(is_frozen(session, t) for t in given):
        for t in made:
            if all(t is not g for g in given):
                setattr(t, _FROZEN, True)


def thawed(t: Tensor) -> Tensor:
    """``t`` as a parameter that requires grad, for kernels that are chosen by that."""
    return nn.Parameter(t.detach())


def folds(session: Session, a: Tensor, b: Tensor) -> bool:
    """Whether torch would fold a @ b for nothing but the gradient of a frozen parameter."""
    turned = b.dim() > a.dim()
    big, small = (b, a) if turned else (a, b)
    if big.dim() < 3 or small.dim() > 2 or (big.is_contiguous() and not turned):
        return False
    return is_frozen(session, small)


def folded(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, the larger one [..., n] folded into a matrix: bit-equal to torch's own folding."""
    turned = b.dim() > a.dim()
    big, small = (b.mT, a.t()) if turned else (a, b)
    rows = big.reshape(-1, big.shape[-1])
    shape = list(big.shape[:-1])
    if small.dim() == 1:
        return _unfolded(torch.mv(rows, small), shape)
    out = _unfolded(torch.mm(rows, small), [*shape, small.shape[1]])
    return out.mT.contiguous() if turned else out


def _unfolded(out: Tensor, shape: list[int]) -> Tensor:
    made: Tensor = torch.ops.aten._unsafe_view(out, shape)
    return made


def folded_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear as torch runs it for such a weight."""
    out = folded(x, weight.t())
    return out if bias is None else out.add_(bias)
