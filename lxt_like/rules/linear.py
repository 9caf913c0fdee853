"""Rules for linear operations: what they share, LRP-0 and LRP-epsilon."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import RuleError
from ..numerics import Amount, inner, upcast
from .base import Book, Rule, RuleFunction, own, refuse_complex
from .maps import Dense, LinearMap, Stacked
from .rows import live_rows

Entries = dict[str, Amount]


@dataclass(frozen=True)
class Step:
    """One linear operation z = W x + b in the backward, and the gradient g that arrived at z.

    The relevance of z is R = z g.  All in float32 or float64; ``bias`` is shaped to be added to z.
    ``entries``, if a ledger is kept, receives what the rule does not pass on.
    """

    map: LinearMap
    x: Tensor
    weight: Tensor
    bias: Tensor | None
    z: Tensor
    g: Tensor
    entries: Entries | None = None

    def keep(self, cause: str, amount: Amount) -> None:
        """Declare relevance that does not reach the inputs."""
        if self.entries is not None:
            before = self.entries.get(cause)
            self.entries[cause] = amount if before is None else before + amount

    def rows(self, which: Tensor) -> Step:
        """The same for the rows ``which`` [n] of a dense operation."""
        bias = self.bias
        if bias is not None:
            each = bias.dim() > 0 and bias.numel() != bias.shape[-1]  # another one in each row
            if each:
                bias = _picked(torch.broadcast_to(bias, self.z.shape), which)
            else:
                bias = bias.reshape(-1)
        x, z, g = (_picked(t, which) for t in (self.x, self.z, self.g))
        return replace(self, x=x, z=z, g=g, bias=bias)

    def share(
        self, total: Tensor, bias: Tensor | None, eps: float = 0.0, factor: float = 1.0
    ) -> Tensor:
        """s = R / (total + eps sign(total)); ``total`` sums the contributions with ``bias``'s.

        Declares ``factor`` times what the bias and the stabilizer take, and what finds no
        contribution at all.  May overwrite ``total``.
        """
        if not eps:
            return self.divide(total, total, bias, factor)
        den = torch.copysign(total.new_tensor(eps), total)
        return self.divide(den.add_(total), total, bias, factor)

    def divide(
        self,
        den: Tensor,
        total: Tensor,
        bias: Tensor | None,
        factor: float = 1.0,
        may_vanish: bool = False,
    ) -> Tensor:
        """R / den with 0 where the denominator vanishes; declares as :meth:`share`.

        ``may_vanish``: whether ``den`` can be 0 although it is not ``total`` itself.
        """
        none = den == 0 if den is total or may_vanish else None
        mine = self.entries is None and den is not self.z and den.shape == self.z.shape
        s = torch.div(self.z, den, out=den if mine else None).mul_(self.g)
        if none is not None and bool(none.any()):
            s.masked_fill_(none, 0.0)
            if self.entries is not None:
                self.keep("unassigned", factor * inner(self.z * none, self.g))
        if self.entries is not None:
            self.keep("epsilon", factor * inner(s, den.double() - total.double()))
            if bias is not None:
                self.keep("bias", factor * inner(torch.broadcast_to(bias, s.shape), s))
        return s


def _picked(t: Tensor, rows: Tensor) -> Tensor:
    """Those rows [n, features] of ``t`` [..., features]."""
    return t.reshape(-1, t.shape[-1]).index_select(0, rows)


@dataclass(frozen=True, repr=False)
class LinearRule(Rule):
    """Base of the rules for linear operations: how R at z = W x + b reaches x.

    ``first``: the rule gives relevance to inputs that are 0, which no gradient can carry: it
    hands it straight to the explained input, and is refused elsewhere.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"linear"})
    first: ClassVar[bool] = False

    @property
    def is_gradient(self) -> bool:
        """Whether the rule is the plain gradient."""
        return False

    @property
    def by_row(self) -> bool:
        """Whether each row (token) is ruled by itself, so that rows without relevance can go."""
        return False

    @abstractmethod
    def spread(self, step: Step) -> Tensor:
        """The gradient at x, so that x * gradient is its relevance (``first``: the relevance)."""

    def linear(
        self,
        call: Callable[[Tensor], Tensor],
        made: LinearMap,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        book: Book | None = None,
        twin: Tensor | None = None,
    ) -> Tensor:
        """``call(x)``, the operation as the model wrote it, under this rule.

        Args:
            call: x -> z, with weight and bias in place.
            made: the same operation's map.
            bias: [out] or broadcastable to z.
            twin: receives the relevance itself, for rules of the first layer.
        """
        if self.is_gradient:
            out = call(x)
            if book is not None and bias is not None:
                book.declare(out, _Bias(made.spread_bias(bias.detach(), out)))
            return out
        refuse_complex(self, x, weight)
        op = Operation(self, call, made)
        out = _Linear.apply(x, weight, bias, twin, op)
        if book is not None:
            book.declare(out, _Declared(op, x.detach(), weight.detach(), bias))
        return out

    @property
    def merges(self) -> bool:
        """Whether a BatchNorm that follows belongs into the operation."""
        return True


class Operation:
    """One call of a linear operation under a rule; what the backward needs to know of it.

    ``scale`` and ``shift``: of a BatchNorm that follows, z' = scale z + shift; used if ``merged``,
    which is decided when the graph is complete: only if nothing else reads z.  ``moves``: the nodes
    of what was made of z for the BatchNorm to read.
    """

    def __init__(self, rule: LinearRule, call: Callable[[Tensor], Tensor], made: LinearMap) -> None:
        self.rule, self.call, self.map = rule, call, made
        self.scale: Tensor | None = None
        self.shift: Tensor | None = None
        self.merged = False
        self.moves: tuple[Any, ...] = ()
        self._z: Tensor | None = None
        self._version = 0
        self._cast: torch.dtype | None = None

    def run(self, x: Tensor) -> Tensor:
        """The forward."""
        kind = x.device.type
        self._cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        z = own(self.call(x))
        self._z = z.detach()
        self._version = z._version
        return z

    @property
    def is_untouched(self) -> bool:
        """Whether z still holds what the operation computed."""
        return self._z is not None and self._z._version == self._version

    def output(self, x: Tensor) -> Tensor:
        """z, computed again if an in-place operation has overwritten it."""
        if self._z is not None and self.is_untouched:
            return self._z
        with torch.autocast(x.device.type, self._cast, enabled=self._cast is not None):
            return self.call(x)

    def merge(self, scale: Tensor, shift: Tensor, moves: tuple[Any, ...]) -> None:
        """A BatchNorm reads z through ``moves``; ``scale`` and ``shift`` are [channels]."""
        self.scale, self.shift, self.moves = scale, shift, moves

    def step(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, g: Tensor, entries: Entries | None
    ) -> Step:
        """The operation, with a merged BatchNorm in its weights, and what arrived at it."""
        z, g, x, weight = (upcast(t.detach()) for t in (self.output(x), g, x, weight))
        if bias is not None:
            bias = self.map.spread_bias(upcast(bias.detach()), z)
        if self.merged:
            assert self.scale is not None and self.shift is not None
            assert isinstance(self.map, Stacked)
            scale, shift = (
                self.map.spread_bias(t.to(z.dtype), z) for t in (self.scale, self.shift)
            )
            if entries is not None:  # this was booked where the BatchNorm passed its gradient on
                unscaled = _unscaled(g, scale)
                entries["bias"] = -inner(torch.broadcast_to(shift, g.shape), unscaled)
            z, g = z * scale + shift, _unscaled(g, scale)
            weight = self.map.scaled(weight, self.scale.to(z.dtype))
            bias = shift if bias is None else bias * scale + shift
        return Step(self.map, x, weight, bias, z, g, entries)

    def gradient(self, x: Tensor, weight: Tensor, bias: Tensor | None, g: Tensor) -> Tensor:
        """What the rule gives x for what arrived at z (``first``: the relevance)."""
        step = self.step(x, weight, bias, g, None)
        dense = isinstance(self.map, Dense) and weight.dim() == 2 and step.g.numel() > 0
        if dense and self.rule.by_row and g.device.type == "cpu":
            flat = step.g.reshape(-1, step.g.shape[-1])
            live = live_rows(flat)
            if live is not None:
                found = flat.new_zeros(len(flat), x.shape[-1])
                found.index_copy_(0, live, self.rule.spread(step.rows(live)))
                return found.view(x.shape)
        return self.rule.spread(step)


def _unscaled(g: Tensor, scale: Tensor) -> Tensor:
    """The gradient at a BatchNorm's output, from that at its input."""
    return (g / scale).masked_fill(scale == 0, 0.0)


class _Linear(RuleFunction):
    """A linear operation whose backward asks its rule."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        twin: Tensor | None,
        op: Operation,
    ) -> Tensor:
        ctx.op = op
        ctx.save_for_backward(x, weight, bias)
        return op.run(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        op: Operation = ctx.op
        gx = gw = gb = gt = None
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[3]:
            found = op.gradient(x, weight, bias, g)
            if op.rule.first:
                gt = found
            else:
                gx = found.to(x.dtype)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            gw, gb = _parameter_gradients(op, x, weight, bias, g)
        return gx, gw, gb, gt, None


def _parameter_gradients(
    op: Operation, x: Tensor, weight: Tensor, bias: Tensor | None, g: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """The plain gradients of weight and bias, for parameters that are not frozen."""
    with torch.enable_grad():
        w = weight.detach().requires_grad_()
        out = op.map.forward(x.detach().to(w.dtype), w)  # autocast made one of another dtype
    (gw,) = torch.autograd.grad(out, w, g.to(out.dtype))
    if bias is None:
        return gw, None
    return gw, g.sum_to_size(op.map.spread_bias(bias, g).shape).reshape(bias.shape)


class _Bias:
    """sum_j b_j g_j."""

    def __init__(self, bias: Tensor) -> None:
        self.bias = bias

    def __call__(self, g: Tensor) -> Entries:
        return {"bias": inner(torch.broadcast_to(self.bias, g.shape), g)}


class _Declared:
    """What a rule keeps of the relevance at an operation."""

    def __init__(self, op: Operation, x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
        self.op, self.x, self.weight = op, x.clone(), weight
        self.bias = None if bias is None else bias.detach()

    def __call__(self, g: Tensor) -> Entries:
        entries: Entries = {}
        self.op.rule.spread(self.op.step(self.x, self.weight, self.bias, g, entries))
        return entries


def check_number(rule: str, name: str, value: Any, low: float = 0.0) -> None:
    """Raise RuleError unless ``value`` is a finite number >= ``low``."""
    fine = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (fine and math.isfinite(value) and value >= low):
        raise RuleError(f"{rule}: {name} must be a finite number >= {low:g}, got {value!r}")


@dataclass(frozen=True, repr=False)
class Zero(LinearRule):
    """LRP-0 for z = W x + b: every input takes its own contribution.

    Formula: R_i = sum_j x_i w_ji / z_j R_j, which is the plain gradient.  Declares ``bias``.

    Use: the same as ``Epsilon(0)``, under its name.
    Source: Bach et al. 2015; Montavon et al. 2019, section 10.2.1.
    """

    @property
    def is_gradient(self) -> bool:
        return True

    def spread(self, step: Step) -> Tensor:
        return step.map.transposed(step.share(step.z, step.bias), step.weight, step.x)


@dataclass(frozen=True, repr=False)
class Epsilon(LinearRule):
    """LRP-epsilon for z = W x + b (LRP-0 at ``eps = 0``).

    Formula: R_i = x_i sum_j w_ji R_j / (z_j + eps sign(z_j)), sign(0) = +1.  As a modified
    gradient: g_i = sum_j w_ji g_j z_j / (z_j + eps sign(z_j)); at eps = 0 the plain gradient.
    ``clip``: the denominator is sign(z_j) max(|z_j|, eps) instead, so that only small outputs are
    touched.  ``scaled``: eps counts in units of the sample's root mean square of z.
    ``zero_bias``: the denominator leaves the bias out, so that the inputs take its share.
    Declares ``bias`` (b_j g_j) and ``epsilon`` (the share of the stabilizer).

    Use: eps = 0 in transformers (nothing is saved); 1e-6 as the classical choice in CNNs, where
    it absorbs weak, noisy contributions.
    Source: Bach et al. 2015, PLOS ONE, eq. 58; Montavon et al. 2019, section 10.2.1.
    """

    eps: float = 0.0
    clip: bool = False
    scaled: bool = False
    zero_bias: bool = False

    def __post_init__(self) -> None:
        check_number("Epsilon", "eps", self.eps)

    @property
    def is_gradient(self) -> bool:
        return self.eps == 0 and not self.zero_bias

    @property
    def by_row(self) -> bool:
        return not self.scaled

    def spread(self, step: Step) -> Tensor:
        total, bias = step.z, step.bias
        if self.zero_bias and bias is not None:
            total, bias = total - bias, None
        den = self._stabilized(total, step.map.batched)
        s = step.divide(den, total, bias, may_vanish=self.scaled)
        return step.map.transposed(s, step.weight, step.x)

    def _stabilized(self, z: Tensor, batched: bool) -> Tensor:
        if self.eps == 0:
            return z
        if not (self.clip or self.scaled):
            return torch.copysign(z.new_tensor(self.eps), z).add_(z)
        eps = z.new_tensor(self.eps)
        if self.scaled:
            dims = list(range(1 if batched else 0, z.dim())) or [0]
            eps = eps * z.square().mean(dims, keepdim=True).sqrt()
        if self.clip:
            return torch.copysign(torch.maximum(z.abs(), eps), z)
        return z + torch.copysign(eps, z)
