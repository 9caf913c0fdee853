"""Matrix products: of two activations (bilinear), or of one with a constant (linear)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...errors import RuleError
from ...rules.base import consumer
from ...rules.bilinear import Uniform
from ...rules.linear import LinearRule
from ...rules.maps import Dense, General, LinearMap
from ..frozen import folded, folds
from ..owned import is_owned
from ..registry import ENTRIES, Func, handles
from ..roles import mix, softmax_axis
from ..session import Session
from ..tags import rank, tag
from .common import is_active, subscripts
from .ruled import ruled
from .shift import added, is_added


class _With:
    """``func`` with the tensors at positions ``at`` replaced."""

    def __init__(
        self, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], at: tuple[int, ...]
    ) -> None:
        self.func, self.args, self.kwargs, self.at = func, args, kwargs, at

    def __call__(self, *tensors: Tensor) -> Tensor:
        args = list(self.args)
        for i, t in zip(self.at, tensors, strict=True):
            args[i] = t
        out: Tensor = self.func(*args, **self.kwargs)
        return out


def pair(
    session: Session,
    func: Func,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    at: tuple[int, int] = (0, 1),
) -> Any:
    """A product of the two active tensors at positions ``at``."""
    a, b = args[at[0]], args[at[1]]
    rule = session.rule("bilinear", func)
    if not isinstance(rule, Uniform):
        out = func(*args, **kwargs)
        session.claim(out, args, kwargs)
        return out
    op = _With(func, args, kwargs, at)
    roles = rule.weights["bilinear"]
    weights = [found is not None and found.role in roles for found in (tag(a), tag(b))]
    if weights[0] and (not weights[1] or rank(a) >= rank(b)):
        out = op(a.detach(), consumer(b))
    elif weights[1]:
        out = op(consumer(a), b.detach())
    else:
        out = rule.bilinear(op, a, b)
    session.claim(out, args, kwargs)
    _report_heads(session, a, out)
    return out


def _report_heads(session: Session, weights: Tensor, out: Tensor) -> None:
    """softmax weights [b, h, t, s] times values: an attention's output, head by head."""
    found = tag(weights)
    if session.on_heads is None or found is None or found.role != "softmax":
        return
    if out.dim() == 4:
        session.on_heads(session.path, out)


class _Map:
    """(x, W) -> the product alone, for a map."""

    def __init__(self, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], at: int) -> None:
        self.name = ENTRIES[func].name
        self.args, self.kwargs, self.at = args, kwargs, at

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        first = self.at == (1 if self.name in _ADDED or self.name == "einsum" else 0)
        a, b = (x, w) if first else (w, x)
        out: Tensor
        if self.name == "einsum":
            out = torch.einsum(self.args[0], a, b)
            return out
        if self.name == "tensordot":
            out = torch.tensordot(a, b, *self.args[2:], **self.kwargs)
            return out
        if self.name in ("dot", "vdot", "inner"):
            out = getattr(torch, self.name)(a, b)
            return out
        if self.name == "__rmatmul__":
            a, b = b, a
        out = a @ b
        out = out.sum(0) if self.name == "addbmm" else out
        alpha: float = self.kwargs.get("alpha", 1)
        return out * alpha


_ADDED = frozenset({"addmm", "baddbmm", "addmv", "addbmm"})


def _as_map(
    func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], at: int
) -> tuple[LinearMap, Tensor]:
    """The map of a product with a constant, and the constant."""
    name = ENTRIES[func].name
    pair_at = (1, 2) if name in _ADDED or name == "einsum" else (0, 1)
    operands = [i for i, t in enumerate(args) if isinstance(t, Tensor)]
    if at not in pair_at or name == "bilinear" or (name == "einsum" and len(operands) != 2):
        raise RuleError(f"a {name} of {len(operands)} tensors follows Zero or Epsilon(0) only")
    weight: Tensor = args[pair_at[0] if at == pair_at[1] else pair_at[1]]
    if at == pair_at[0] and weight.dim() == 2 and name in ("matmul", "__matmul__", "mm", "addmm"):
        return Dense(), weight.t() * kwargs["alpha"] if "alpha" in kwargs else weight.t()
    return General(_Map(func, args, kwargs, at)), weight


def times_constant(
    session: Session,
    func: Func,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    at: int,
    bias: Any,
    kernel: Func | None = None,
) -> Any:
    """A product with weights that do not depend on the input: a linear operation.

    ``kernel`` computes it; ``func`` itself, unless told otherwise.
    """
    x, kernel = args[at], kernel or func
    if _attends(session, func, args, at):
        return _With(kernel, args, kwargs, (at,))(x.detach())
    rule = session.rule("linear", func)
    if session.is_plain(rule):
        out = kernel(*args, **kwargs)
    else:
        call = _With(kernel, args, kwargs, (at,))
        if isinstance(rule, LinearRule) and rule.is_gradient:
            out = ruled(session, rule, func, call, General(call), x, x, bias)
        else:
            made, weight = _as_map(func, args, kwargs, at)
            out = ruled(session, rule, func, call, made, x, weight, bias)
    if any(is_active(t) for t in args if t is not x):
        session.claim(out, args, kwargs)
    else:
        session.claim_linear("linear", out, (x,))
    mix(out, _axis_after(func, args, at))
    return out


def _axis_after(func: Func, args: tuple[Any, ...], at: int) -> int | None:
    """Where a softmax's axis lies in the product; None: summed over, or not known."""
    axis = softmax_axis(args[at])
    if axis is None:
        return None
    name = ENTRIES[func].name
    if name == "einsum":
        before, arrow, after = args[0].replace(" ", "").partition("->")
        if not arrow or "." in before:
            return None
        at_out = after.find(before.split(",")[at - 1][axis])
        return None if at_out < 0 else at_out - len(after)
    if name not in ("matmul", "__matmul__", "mm", "bmm", "addmm", "baddbmm"):
        return None
    contracted = -1 if at == (1 if name in _ADDED else 0) else -2
    return None if axis == contracted else axis


def _attends(session: Session, func: Func, args: tuple[Any, ...], at: int) -> bool:
    """Whether ``args[at]`` weighs constant values, one set a sample, that take all by the rule.

    What is the model's own is no value: there the weights are features.
    """
    x = args[at]
    others = [i for i, t in enumerate(args) if isinstance(t, Tensor) and t is not x]
    if softmax_axis(x) is None or len(others) != 1 or _axis_after(func, args, at) is not None:
        return False
    if not _is_by_sample(func, args, at, others[0]) or is_owned(session, args[others[0]]):
        return False
    rule = session.rule("bilinear", func)
    return isinstance(rule, Uniform) and "softmax" in rule.weights["bilinear"]


_BATCHED = ("matmul", "__matmul__", "__rmatmul__", "bmm")


def _is_by_sample(func: Func, args: tuple[Any, ...], at: int, other: int) -> bool:
    """Whether the first axis of ``args[at]`` is one of ``args[other]``, too, by where they lie."""
    name, x, values = ENTRIES[func].name, args[at], args[other]
    if name != "einsum":
        return name in _BATCHED and x.dim() == values.dim() > 2
    if not isinstance(args[0], str):
        return False
    terms = args[0].replace(" ", "").partition("->")[0].split(",")
    first, *_ = subscripts(terms[at - 1], x.dim())
    return first in subscripts(terms[other - 1], values.dim())


def _product(
    session: Session,
    func: Func,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    at: tuple[int, int],
    bias: Any = None,
) -> Any:
    a, b = args[at[0]], args[at[1]]
    if is_active(a) and is_active(b):
        return pair(session, func, args, kwargs, at)
    kernel = _kernel(session, func, a, b)
    if is_active(a) or is_active(b):
        at_x = at[0 if is_active(a) else 1]
        return times_constant(session, func, args, kwargs, at_x, bias, kernel)
    return kernel(*args, **kwargs)


def _kernel(session: Session, func: Func, a: Tensor, b: Tensor) -> Func:
    """What computes a product of ``a`` and ``b`` as it is without the patch."""
    if session.froze and ENTRIES[func].name in ("matmul", "__matmul__") and folds(session, a, b):
        return folded
    if session.froze and ENTRIES[func].name == "__rmatmul__" and folds(session, b, a):
        return _folded_from_right
    return func


def _folded_from_right(a: Tensor, b: Tensor) -> Tensor:
    return folded(b, a)


@handles("matmul", "matmul", "__matmul__", "mm", "bmm", "mv", "dot", "inner", "vdot")
def _matmul(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) < 2:
        args = (*args, *kwargs.values())
        kwargs = {}
    return _product(session, func, args, kwargs, (0, 1))


@handles("matmul", "__rmatmul__", "tensordot")
def _tensordot(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _product(session, func, args, kwargs, (0, 1))


@handles("matmul", "addmm", "baddbmm", "addmv", "addbmm", apart=is_added)
def _addmm(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """bias + a @ b; beta and alpha scale the two."""
    if is_added(func, args, kwargs):
        return added(session, func, args, kwargs)
    beta = kwargs.get("beta", 1)
    bias = args[0] if beta == 1 else args[0] * beta
    if is_active(args[1]) and is_active(args[2]) and session.measure is not None:
        session.measure.add_constant(bias)
    return _product(session, func, args, kwargs, (1, 2), bias)
