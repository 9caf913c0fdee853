"""Rules for the first layer: z-box, w^2 and flat.

They give relevance to inputs that are 0 as well, which activation * gradient cannot express.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import BoundsWarning, RuleError
from .linear import LinearRule, Step, check_number


@dataclass(frozen=True, repr=False)
class FirstLayerRule(LinearRule):
    """Base: :meth:`spread` returns relevance, which goes straight to the explained input."""

    first: ClassVar[bool] = True

    def carried(
        self, source: Tensor, carry: Callable[[Tensor], Tensor], x: Tensor
    ) -> FirstLayerRule:
        """The rule where an operation reads ``x``, which ``carry`` made of the explained input.

        ``source`` has the explained input's shape, dtype and device.
        """
        return self


@dataclass(frozen=True)
class Bound:
    """A tensor among a rule's fields: frozen, compared and hashed by value, printed as code."""

    values: Any
    dtype: str = "float32"

    @classmethod
    def read(cls, values: Any, dtype: Any) -> Bound:
        """A bound from plain data, checked.

        Raises:
            RuleError: for what is no regular nest of finite numbers, or no float dtype.
        """
        if dtype not in ("float16", "bfloat16", "float32", "float64"):
            raise RuleError(f"a bound has a float dtype, got {dtype!r}")
        try:
            made = torch.tensor(values, dtype=getattr(torch, dtype))
        except (TypeError, ValueError, RuntimeError) as e:
            raise RuleError(f"a bound is a regular nest of numbers: {e}") from e
        if not bool(torch.isfinite(made).all()):
            raise RuleError("a bound must be finite")
        return cls(_frozen(made.tolist()), dtype)

    def tensor(self) -> Tensor:
        """The bound as a tensor."""
        return torch.tensor(self.values, dtype=getattr(torch, self.dtype))

    def __repr__(self) -> str:
        return f"lxt.rules.Bound({self.values!r}, {self.dtype!r})"


def _bound(name: str, value: Any) -> float | Bound:
    if isinstance(value, Bound):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not abs(value) < float("inf"):
            raise RuleError(f"ZBox: {name} must be finite, got {value!r}")
        return float(value)
    if isinstance(value, Tensor) and value.is_floating_point() and torch.isfinite(value).all():
        nested = _frozen(value.detach().cpu().tolist())
        return Bound(nested, str(value.dtype).removeprefix("torch."))
    raise RuleError(f"ZBox: {name} must be a number or a finite float tensor, got {value!r}")


def _frozen(nested: Any) -> Any:
    return tuple(_frozen(v) for v in nested) if isinstance(nested, list) else nested


@dataclass(frozen=True, repr=False)
class ZBox(FirstLayerRule):
    """z-box (z^B): for inputs within known bounds, such as normalised pixels.

    Formula: R_i = sum_j (x_i w_ij - l_i w_ij^+ - h_i w_ij^-) / sum_i (the same) R_j.  Computed as
    (x - l) w^+ + (x - h) w^-: every term is >= 0 within the bounds, so nothing cancels.  The bias
    takes no share.

    Use: the first layer of an image model; bounds as numbers, or as tensors that broadcast to the
    explained input (one for each channel: shape [C, 1, 1]).  What lies between that input and the
    first layer (a normalisation in the model, patches cut out) is applied to the bounds, too.
    Source: Montavon et al. 2017, Pattern Recognition 65, eq. 18.
    """

    spelled: ClassVar[int] = 2

    low: float | Tensor | Bound = field(default=-1.0)
    high: float | Tensor | Bound = field(default=1.0)
    eps: float = 0.0

    def __post_init__(self) -> None:
        check_number("ZBox", "eps", self.eps)
        object.__setattr__(self, "low", _bound("low", self.low))
        object.__setattr__(self, "high", _bound("high", self.high))
        low, high = (torch.as_tensor(_value(b)) for b in (self.low, self.high))
        try:
            fine = bool((low <= high).all())
        except RuntimeError as e:
            raise RuleError(
                f"ZBox: low {tuple(low.shape)} and high {tuple(high.shape)} do not broadcast"
            ) from e
        if not fine:
            raise RuleError(f"ZBox: low must not exceed high, got {self.low!r} and {self.high!r}")

    def spread(self, step: Step) -> Tensor:
        low, high = (self._at(name, step.x) for name in ("low", "high"))
        return _Placed(low, high, self.eps).spread(step)

    def carried(
        self, source: Tensor, carry: Callable[[Tensor], Tensor], x: Tensor
    ) -> FirstLayerRule:
        ends = [carry(self._at(name, source)) for name in ("low", "high")]
        made = _Placed(torch.minimum(*ends), torch.maximum(*ends), self.eps)  # a factor may be < 0
        made.check(x, self)
        return made

    def _at(self, name: str, x: Tensor) -> Tensor:
        given = torch.as_tensor(_value(getattr(self, name))).to(device=x.device, dtype=x.dtype)
        try:
            return torch.broadcast_to(given, x.shape)
        except RuntimeError as e:
            raise RuleError(
                f"ZBox: {name} of shape {tuple(given.shape)} does not broadcast to the input "
                f"{tuple(x.shape)}; a bound for each channel has the shape [C, 1, 1]"
            ) from e


@dataclass(frozen=True, repr=False, eq=False)
class _Placed(FirstLayerRule):
    """z-box with the bounds where an operation reads."""

    low: Tensor
    high: Tensor
    eps: float

    def spread(self, step: Step) -> Tensor:
        above, below = step.x - self.low, step.x - self.high
        weights = [step.weight.clamp(min=0), step.weight.clamp(max=0)]
        total = step.map.forward_sum(list(zip((above, below), weights, strict=True)))
        s = step.share(total, None, self.eps)
        at_low, at_high = step.map.transposed_each(s, weights, step.x)
        return above * at_low + below * at_high

    def check(self, x: Tensor, given: ZBox) -> None:
        """Warn of values outside: their terms are negative and cancel others."""
        beyond = torch.maximum(self.low - x, x - self.high)
        size = torch.maximum(self.low.abs(), self.high.abs()).amax()
        width = float((self.high - self.low).amax())
        if not float(beyond.amax()) > 8 * torch.finfo(x.dtype).eps * float(size):
            return
        outside = int((beyond > 0).sum())
        warnings.warn(
            f"{outside} of {x.numel()} values lie outside the box of {given!r}, by up to "
            f"{float(beyond.amax()) / width if width else float('inf'):.3g} of its width; z-box "
            "holds for inputs within their bounds: give those of the input that is explained",
            BoundsWarning,
            stacklevel=2,
        )


def _value(bound: Any) -> float | Tensor:
    return bound.tensor() if isinstance(bound, Bound) else bound


@dataclass(frozen=True, repr=False)
class WSquare(FirstLayerRule):
    """w^2: relevance by the squared weights, whatever the input.

    Formula: R_i = sum_j w_ij^2 / sum_i w_ij^2 R_j.  ``zero_bias=False`` counts b_j^2 in the
    denominator, which then keeps its share (declared as ``bias``).

    Use: the first layer where inputs are unbounded; it does not depend on the input.
    Source: Montavon et al. 2017, Pattern Recognition 65, eq. 12.
    """

    eps: float = 0.0
    zero_bias: bool = True

    def __post_init__(self) -> None:
        check_number("WSquare", "eps", self.eps)

    def spread(self, step: Step) -> Tensor:
        squared = step.weight.square()
        total = step.map.forward(torch.ones_like(step.map.sample(step.x)), squared)
        bias = None if step.bias is None or self.zero_bias else step.bias.square()
        total = total if bias is None else total + bias
        return step.map.transposed(step.share(total, bias, self.eps), squared, step.x)


@dataclass(frozen=True, repr=False)
class Flat(FirstLayerRule):
    """Flat: relevance in equal shares over the inputs an output is connected to.

    Formula: R_i = sum_j R_j / n_j over the n_j inputs of output j; zero padding is no input.

    Use: the first layer, to see which region mattered without the noise of single pixels.
    Source: Lapuschkin et al. 2019, Nature Communications 10; Bach et al. 2015.
    """

    eps: float = 0.0

    def __post_init__(self) -> None:
        check_number("Flat", "eps", self.eps)

    def spread(self, step: Step) -> Tensor:
        ones = torch.ones_like(step.weight)
        total = step.map.forward(torch.ones_like(step.map.sample(step.x)), ones)
        return step.map.transposed(step.share(total, None, self.eps), ones, step.x)
