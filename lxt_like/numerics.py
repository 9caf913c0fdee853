"""Dtype-aware ratios and sums."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def upcast(x: Tensor) -> Tensor:
    """``x`` in at least float32 (float64 stays)."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def full_precision(t: Tensor) -> AbstractContextManager[Any]:
    """What is computed on ``t``'s device runs in the operands' own dtypes: no autocast."""
    kind = t.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else _AS_IT_IS


_AS_IT_IS: AbstractContextManager[None] = nullcontext()


def ratio(y: Tensor, x: Tensor, limit: float) -> Tensor:
    """``y / x`` with ``limit`` where x is 0, computed and returned in float32 or better.

    For ``y = f(x)`` with f(0) = 0 and f accurate near 0 nothing cancels.  ``y`` may be overwritten
    unless it is x.
    """
    y, x = upcast(y), upcast(x)
    keep = torch.is_grad_enabled() or y.data_ptr() == x.data_ptr()
    return _limited(y / x if keep else y.div_(x), limit)


def quotient(y: Tensor, x: Tensor, limit: float) -> Tensor:
    """The same in the tensors' own dtype; leaves ``y`` as it is."""
    return _limited(y / x, limit)


def _limited(out: Tensor, limit: float) -> Tensor:
    # 0 / 0 is the only NaN that finite values make; one pass, no mask
    return out.nan_to_num_(nan=limit, posinf=math.inf, neginf=-math.inf)


def is_finite(x: Tensor) -> bool:
    """Whether no element is NaN or infinite; no memory."""
    if x.is_complex():
        x = torch.view_as_real(x)
    if math.isfinite(float(x.detach().sum())):
        return True  # NaN and infinity stay in a sum; a sum may overflow, so the rest is looked at
    low, high = torch.aminmax(x)  # NaN wins in both
    return bool(torch.isfinite(low) & torch.isfinite(high))


class Amount:
    """Relevance that was summed up, in float64; a multiple or a sum of such.

    ``float(amount)`` is the whole, :meth:`each` tells it sample by sample.

    Attributes:
        parts: sums over all but the first axis of something; the amount is that of all of them.
    """

    __slots__ = ("parts",)

    def __init__(self, *parts: Tensor) -> None:
        self.parts = parts

    @classmethod
    def of(cls, shares: Tensor) -> Amount:
        """The sum of a tensor in float64."""
        shares = shares.detach().double()
        return cls(shares.flatten(1).sum(1) if shares.dim() > 1 else shares.reshape(-1))

    def __float__(self) -> float:
        return sum(float(part.sum()) for part in self.parts)

    def __mul__(self, factor: float) -> Amount:
        return Amount(*(factor * part for part in self.parts))

    __rmul__ = __mul__

    def __neg__(self) -> Amount:
        return self * -1.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*self.parts, *other.parts)

    def __sub__(self, other: Amount) -> Amount:
        return self + -other

    def each(self, samples: int) -> list[float] | None:
        """The share of each sample; None if the summands cannot be one sample after another."""
        if any(len(part) % samples for part in self.parts):
            return None
        rows = [part.reshape(samples, -1).sum(1).cpu() for part in self.parts]
        return sum(rows[1:], rows[0]).tolist() if rows else [0.0] * samples


def inner(value: Tensor, grad: Tensor) -> Amount:
    """The relevance ``sum(value * grad)`` in float64; ``Re(conj(z) * grad)`` for complex tensors.

    A zero gradient carries nothing, whatever the value: a score masked with -inf counts 0.
    """
    if value.is_complex() or grad.is_complex():
        value, grad = value.to(torch.complex128), grad.to(torch.complex128)
        product = (value.conj() * grad).real
    else:
        value, grad = torch.broadcast_tensors(value, grad)
        product = value.to(torch.float64, copy=True).mul_(grad)
    amount = Amount.of(product)
    if math.isfinite(float(amount)):
        return amount
    return Amount.of(product.masked_fill(grad == 0, 0.0))


def contribution(value: Tensor, grad: Tensor) -> Tensor:
    """The relevance ``value * grad``, element by element; ``Re(conj(z) * grad)`` if complex."""
    return (value.conj() * grad).real if value.is_complex() else value * grad


def sum_to(x: Tensor, shape: torch.Size) -> Tensor:
    """Sum ``x`` over the dimensions that broadcasting from ``shape`` added or stretched."""
    return x if x.shape == shape else x.sum_to_size(shape)
