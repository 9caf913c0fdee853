"""The rule for normalisations: the scale is held constant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._prims_common import suggest_memory_format

from ..numerics import Amount, inner, upcast
from .base import Book, Rule, RuleFunction, refuse_complex


@dataclass(frozen=True)
class ConstantScale(Rule):
    """The norm's scale (1/sigma) is held constant; what is left is linear.

    Formula: y = gamma (x - mean(x)) / sigma + beta with sigma constant.  The mean subtraction
    stays, gamma / sigma is a diagonal matrix, and beta g is declared as ``bias``.

    Use: LayerNorm, RMSNorm, GroupNorm, L2 and QK norms, and x * rsqrt(...) written inline.
    Source: Ali et al. 2022; Achtibat et al. 2024, Proposition 3.4.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"norm"})

    def layer_norm(
        self,
        x: Tensor,
        shape: Sequence[int],
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
        book: Book | None = None,
    ) -> Tensor:
        """``F.layer_norm`` under this rule; saves one number per normalised row."""
        out: Tensor = _LayerNorm.apply(x, tuple(shape), weight, bias, eps)
        _declare_beta(out, bias, book)
        return out

    def rms_norm(
        self,
        x: Tensor,
        shape: Sequence[int],
        weight: Tensor | None = None,
        eps: float | None = None,
        book: Book | None = None,
    ) -> Tensor:
        """``F.rms_norm`` under this rule."""
        refuse_complex(self, x)
        return _RMSNorm.apply(x, tuple(shape), weight, eps)

    def group_norm(
        self,
        x: Tensor,
        groups: int,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
        book: Book | None = None,
    ) -> Tensor:
        """``F.group_norm`` under this rule."""
        out: Tensor = _GroupNorm.apply(x, groups, weight, bias, eps)
        _declare_beta(out, bias, book, x.dim() - 2)
        return out

    def instance_norm(
        self,
        x: Tensor,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
        book: Book | None = None,
    ) -> Tensor:
        """``F.instance_norm`` with the statistics of each instance, under this rule."""
        out: Tensor = _InstanceNorm.apply(x, x.shape[1], weight, bias, eps)
        _declare_beta(out, bias, book, x.dim() - 2)
        return out


def _declare_beta(out: Tensor, bias: Tensor | None, book: Book | None, space: int = 0) -> None:
    """``space``: how many dimensions follow that of the bias."""
    if book is not None and bias is not None:
        bias = bias.reshape(*bias.shape, *([1] * space))
        book.declare(out, _BetaShare(bias.detach()))


class _BetaShare:
    """beta * g."""

    def __init__(self, beta: Tensor) -> None:
        self.beta = beta

    def __call__(self, g: Tensor) -> dict[str, Amount]:
        return {"bias": inner(torch.broadcast_to(self.beta, g.shape), g)}


def _param_grads(
    ctx: Any, g: Tensor, normed: Tensor | None, dims: list[int], at: tuple[int, int]
) -> tuple[Tensor | None, Tensor | None]:
    gw = (g * normed).sum(dims) if ctx.needs_input_grad[at[0]] and normed is not None else None
    gb = g.sum(dims) if ctx.needs_input_grad[at[1]] else None
    return gw, gb


class _LayerNorm(RuleFunction):
    """native layer_norm forward; backward with 1/sigma constant."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        shape: tuple[int, ...],
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> Tensor:
        out, mean, rstd = torch.native_layer_norm(x, shape, weight, bias, eps)
        normed = (x - mean) * rstd if weight is not None and ctx.needs_input_grad[2] else None
        ctx.save_for_backward(weight, rstd, normed)
        ctx.dims = list(range(-len(shape), 0))
        ctx.dtype = x.dtype
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        weight, rstd, normed = ctx.saved_tensors
        gw = gb = None
        if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
            gw, gb = _param_grads(ctx, g, normed, list(range(g.dim() - len(ctx.dims))), (2, 3))
        if weight is not None:
            g = g * weight
        if weight is None or torch.is_grad_enabled():
            gx = (g - g.mean(ctx.dims, keepdim=True)) * rstd
        else:  # g is ours: no further memory
            gx = g.sub_(g.mean(ctx.dims, keepdim=True)).mul_(rstd)
        return gx.to(ctx.dtype), None, gw, gb, None


class _RMSNorm(RuleFunction):
    """F.rms_norm forward; backward with the scale constant."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shape: tuple[int, ...], weight: Tensor | None, eps: float | None
    ) -> Tensor:
        dims = list(range(-len(shape), 0))
        wide = upcast(x)
        tiny = torch.finfo(x.dtype).eps if eps is None else eps
        scale = torch.rsqrt(wide.square().mean(dims, keepdim=True) + tiny)
        normed = wide * scale if weight is not None and ctx.needs_input_grad[2] else None
        ctx.save_for_backward(weight, scale, normed)
        ctx.dims, ctx.dtype = dims, x.dtype
        return F.rms_norm(x, shape, weight, eps)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        weight, scale, normed = ctx.saved_tensors
        gw, _ = _param_grads(ctx, g, normed, list(range(g.dim() - len(ctx.dims))), (2, 3))
        if weight is not None:
            g = g * weight
        return (g * scale).to(ctx.dtype), None, gw, None


class _GroupNorm(RuleFunction):
    """native group_norm forward; backward with 1/sigma of each group constant."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        groups: int,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> Tensor:
        n, c = x.shape[:2]
        # as F.group_norm lays out its input, so that the same kernel runs
        layout = suggest_memory_format(x) if x.is_cpu else torch.contiguous_format
        laid = x.contiguous(memory_format=layout)
        size = math.prod(x.shape[2:])
        out, mean, rstd = torch.native_group_norm(laid, weight, bias, n, c, size, groups, eps)
        normed = None
        if weight is not None and ctx.needs_input_grad[2]:
            grouped = x.reshape(n, groups, -1)
            normed = ((grouped - mean[..., None]) * rstd[..., None]).reshape(x.shape)
        ctx.save_for_backward(weight, rstd, normed)
        ctx.groups, ctx.dtype = groups, x.dtype
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        weight, rstd, normed = ctx.saved_tensors
        gw, gb = _param_grads(ctx, g, normed, [0, *range(2, g.dim())], (2, 3))
        shape = g.shape
        if weight is not None:
            g = g * weight.reshape(1, -1, *([1] * (g.dim() - 2)))
        g = g.reshape(shape[0], ctx.groups, -1)
        gx = (g - g.mean(-1, keepdim=True)) * rstd[..., None]
        return gx.reshape(shape).to(ctx.dtype), None, gw, gb, None


class _InstanceNorm(_GroupNorm):
    """F.instance_norm forward, another kernel than group norm's; the same backward."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        groups: int,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> Tensor:
        grouped = upcast(x).reshape(*x.shape[:2], -1)
        var, mean = torch.var_mean(grouped, -1, correction=0, keepdim=True)
        rstd = torch.rsqrt(var + eps)
        normed = None
        if weight is not None and ctx.needs_input_grad[2]:
            normed = ((grouped - mean) * rstd).reshape(x.shape)
        ctx.save_for_backward(weight, rstd.squeeze(-1), normed)
        ctx.groups, ctx.dtype = groups, x.dtype
        return F.instance_norm(x, weight=weight, bias=bias, eps=eps)
