"""Rules that treat positive and negative contributions apart: gamma, alpha-beta, z+."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import RuleError
from .linear import LinearRule, Step, check_number


def _plus(t: Tensor) -> Tensor:
    return t.clamp(min=0)


def _minus(t: Tensor) -> Tensor:
    return t.clamp(max=0)


_LARGE = 4.0
"""Up to this gamma the form by sizes loses no more than a digit's fraction."""


class _Parts:
    """x as [x+, |x-|], or x itself where none is negative; and W's parts to go with it.

    The split form adds terms of one sign only: nothing cancels, whatever the precision.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.one_sided = bool((x.min() >= 0) if x.numel() else True)
        self.inputs = [x] if self.one_sided else [_plus(x), _plus(-x)]

    def positive(self, w: Tensor) -> list[Tensor]:
        """Weights of the contributions (x w)^+: of x+, and of |x-|."""
        return [_plus(w)] if self.one_sided else [_plus(w), _plus(-w)]

    def negative(self, w: Tensor) -> list[Tensor]:
        """Weights of the contributions (x w)^-."""
        return [_minus(w)] if self.one_sided else [_minus(w), _minus(-w)]

    def gradient(self, parts: list[Tensor]) -> Tensor:
        """The gradient at x from those at the parts."""
        if self.one_sided:
            return parts[0]
        below = self.x < 0  # products with a mask cost a tenth of torch.where
        return parts[0].mul_(~below).sub_(parts[1].mul_(below))


@dataclass(frozen=True, repr=False)
class ZPlus(LinearRule):
    """z+ (alpha 1, beta 0): only what raised the output is answerable for it.

    Formula: R_i = sum_j (x_i w_ij)^+ / (sum_i (x_i w_ij)^+ + b_j^+) R_j.  ``zero_bias``: the
    denominator leaves the bias out.  Declares ``bias``, ``epsilon``, and ``unassigned`` where no
    contribution is positive.

    Use: convolutions under ReLU; the deep Taylor choice; excitation backprop with zero_bias.
    Source: Montavon et al. 2017, Pattern Recognition 65, eq. 16; Zhang et al. 2016 (excitation).
    """

    eps: float = 0.0
    zero_bias: bool = False

    def __post_init__(self) -> None:
        check_number("ZPlus", "eps", self.eps)

    @property
    def by_row(self) -> bool:
        return True

    def spread(self, step: Step) -> Tensor:
        parts = _Parts(step.x)
        weights = parts.positive(step.weight)
        total = step.map.forward_sum(list(zip(parts.inputs, weights, strict=True)))
        bias = None if step.bias is None or self.zero_bias else _plus(step.bias)
        s = step.share(total if bias is None else total.add_(bias), bias, self.eps)
        return parts.gradient(step.map.transposed_each(s, weights, step.x))


@dataclass(frozen=True, repr=False)
class AlphaBeta(LinearRule):
    """alpha-beta: positive and negative contributions apart, alpha - beta = 1.

    Formula: R_i = sum_j [alpha (x_i w_ij)^+ / (sum_i (x_i w_ij)^+ + b_j^+)
    - beta (x_i w_ij)^- / (sum_i (x_i w_ij)^- + b_j^-)] R_j.  ``zero_bias``: the denominators leave
    the bias out.  Declares ``bias``, ``epsilon``, and ``unassigned`` for a part without
    contributions.

    Use: alpha 2, beta 1 shows what speaks against the decision, too; alpha 1, beta 0 is z+.
    Source: Bach et al. 2015, PLOS ONE, eq. 60.
    """

    spelled: ClassVar[int] = 2

    alpha: float = 2.0
    beta: float = 1.0
    eps: float = 0.0
    zero_bias: bool = False

    def __post_init__(self) -> None:
        check_number("AlphaBeta", "alpha", self.alpha)
        check_number("AlphaBeta", "beta", self.beta)
        check_number("AlphaBeta", "eps", self.eps)
        if abs(self.alpha - self.beta - 1) > 1e-9:
            raise RuleError(
                "AlphaBeta: alpha - beta must be 1, else relevance is made or lost; got "
                f"alpha={self.alpha!r}, beta={self.beta!r}"
            )

    @property
    def by_row(self) -> bool:
        return True

    def spread(self, step: Step) -> Tensor:
        if self.beta == 0:
            return ZPlus(self.eps, self.zero_bias).spread(step)
        parts = _Parts(step.x)
        rows = [parts.positive(step.weight), parts.negative(step.weight)]
        totals = step.map.forward_grid(parts.inputs, rows)
        shares = []
        for total, cut, factor in zip(
            totals, (_plus, _minus), (self.alpha, -self.beta), strict=True
        ):
            bias = None if step.bias is None or self.zero_bias else cut(step.bias)
            total = total if bias is None else total.add(bias)
            den = total
            if self.eps:  # an empty part has no sign of its own
                den = total - self.eps if cut is _minus else total + self.eps
            shares.append(step.divide(den, total, bias, factor))
        rows = [[self.alpha * w for w in rows[0]], [-self.beta * w for w in rows[1]]]
        return parts.gradient(step.map.transposed_grid(shares, rows, step.x))


@dataclass(frozen=True, repr=False)
class Gamma(LinearRule):
    """Gamma, generalised: contributions of the output's own sign are favoured.

    Formula: with c_ij = x_i w_ij + gamma (x_i w_ij)^s_j, s_j = sign(z_j), and the bias as one more
    contribution, R_i = sum_j c_ij / (sum_i c_ij + c_bj) R_j.  gamma = 0 is epsilon; a large gamma
    tends to z+ at positive outputs.  ``zero_bias``: the denominator leaves the bias out.

    Use: lower and middle layers, inputs and outputs of any sign; 0.25 is the usual choice.
    Source: Andeol et al. 2021 (generalised); the original: :class:`ClassicGamma`.
    """

    gamma: float = 0.25
    eps: float = 0.0
    zero_bias: bool = False

    def __post_init__(self) -> None:
        check_number("Gamma", "gamma", self.gamma)
        check_number("Gamma", "eps", self.eps)

    @property
    def by_row(self) -> bool:
        return True

    def spread(self, step: Step) -> Tensor:
        w, gamma, parts = step.weight, self.gamma, _Parts(step.x)
        down = step.z < 0
        if parts.one_sided and not bool((down & (step.g != 0)).any()):
            return self._one_sided(step)
        bias = None if step.bias is None or self.zero_bias else step.bias
        kept = None
        if bias is not None:
            kept = bias + gamma * torch.where(down, _minus(bias), _plus(bias))
        if gamma <= _LARGE:
            return self._by_sizes(step, kept)
        # the favoured part of each output, by its sign
        rows = [parts.positive(w), parts.negative(w)]
        plus, minus = step.map.forward_grid(parts.inputs, rows)
        total = plus + minus + gamma * torch.where(down, minus, plus)
        s = step.share(total if kept is None else total.add_(kept), kept, self.eps)
        shares = [torch.where(down, s, (1 + gamma) * s), torch.where(down, (1 + gamma) * s, s)]
        return parts.gradient(step.map.transposed_grid(shares, rows, step.x))

    def _by_sizes(self, step: Step, kept: Tensor | None) -> Tensor:
        """c = (1 + gamma/2) x w + s gamma/2 |x| |w|: a product less, while gamma is not large."""
        half, sign = self.gamma / 2, torch.where(step.z < 0, -1.0, 1.0).to(step.z.dtype)
        sizes = step.weight.abs()
        total = step.map.forward(step.x.abs(), sizes).mul_(sign).mul_(half)
        plain = step.z if step.bias is None else step.z - step.bias
        total.add_(plain, alpha=1 + half)
        s = step.share(total if kept is None else total.add_(kept), kept, self.eps)
        plain = step.map.transposed(s, step.weight, step.x)
        sized = step.map.transposed(s * sign, sizes, step.x)
        return plain.mul_(1 + half).add_(sized.mul_(step.x.sign()), alpha=half)

    def _one_sided(self, step: Step) -> Tensor:
        """x >= 0 and relevance at positive outputs only, as under ReLU: one product each way."""
        w = step.weight + self.gamma * _plus(step.weight)
        total = step.map.forward(step.x, w)
        bias = None
        if step.bias is not None and not self.zero_bias:
            bias = step.bias + self.gamma * _plus(step.bias)
            total.add_(bias)
        return step.map.transposed(step.share(total, bias, self.eps), w, step.x)


@dataclass(frozen=True, repr=False)
class ClassicGamma(LinearRule):
    """Gamma as first given, for inputs >= 0: positive weights are favoured.

    Formula: R_i = sum_j x_i (w_ij + gamma w_ij^+) / (sum_i x_i (w_ij + gamma w_ij^+)
    + b_j + gamma b_j^+) R_j.  For inputs of both signs it favours w^+, whatever its contribution's
    sign: :class:`Gamma` then.  ``zero_bias``: the denominator leaves the bias out.

    Use: middle layers of ReLU networks.
    Source: Montavon et al. 2019, section 10.2.1.
    """

    gamma: float = 0.25
    eps: float = 0.0
    zero_bias: bool = False

    def __post_init__(self) -> None:
        check_number("ClassicGamma", "gamma", self.gamma)
        check_number("ClassicGamma", "eps", self.eps)

    @property
    def by_row(self) -> bool:
        return True

    def spread(self, step: Step) -> Tensor:
        w = step.weight + self.gamma * _plus(step.weight)
        total = step.map.forward(step.x, w)
        bias = None
        if step.bias is not None and not self.zero_bias:
            bias = step.bias + self.gamma * _plus(step.bias)
            total.add_(bias)
        return step.map.transposed(step.share(total, bias, self.eps), w, step.x)
