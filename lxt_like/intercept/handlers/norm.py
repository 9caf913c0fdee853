"""Normalisations called as one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...rules.base import Gradient
from ...rules.norm import ConstantScale, _BetaShare
from ..merge import follow, operation_of
from ..registry import ENTRIES, Func, Handler, handles, register
from ..session import Session
from .common import is_active
from .valued import valued

_RUNNING = ("input", "running_mean", "running_var")
_AFFINE = ("weight", "bias")


def _rule(session: Session, func: Func) -> ConstantScale | None:
    rule = session.rule("norm", func)
    return rule if isinstance(rule, ConstantScale) else None


def _plain(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """With its own gradient; of a constant a norm is linear in its weight and bias."""
    out = func(*args, **kwargs)
    session.claim(out, args, kwargs)
    return out


# torch's parameter names; of the first three, in the order of the rule's methods of the same name
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "instance_norm": (*_RUNNING, *_AFFINE, "use_input_stats", "momentum", "eps"),
    "batch_norm": (*_RUNNING, *_AFFINE, "training", "momentum", "eps"),
}
_OF_KERNEL: dict[Func, tuple[str, ...]] = {
    kernel: ("input", *_AFFINE, *_RUNNING[1:], training, "momentum", "eps")
    for kernel, training in (
        (torch.batch_norm, "training"),
        (torch.instance_norm, "use_input_stats"),
    )
}
_EPS: dict[str, float | None] = {"layer_norm": 1e-5, "rms_norm": None, "group_norm": 1e-5}


def _bind(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = _OF_KERNEL.get(func) or _SIGNATURES[ENTRIES[func].name]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _is_conditional(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the scale or the shift depends on the input."""
    given = _bind(func, args, kwargs)
    return any(is_active(given.get(n)) for n in _AFFINE)


def _conditional(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Tensor:
    """The norm without scale and shift, then a product and a sum: each by its own rule."""
    value, given, run = func(*args, **kwargs), _bind(func, args, kwargs), session.run
    weight, bias = (given.pop(n, None) for n in _AFFINE)
    name = ENTRIES[func].name
    given.pop("cudnn_enabled", None)
    out = run(getattr(F, name), **given)
    if name not in ("layer_norm", "rms_norm"):  # one for each channel
        shape = (-1, *([1] * (out.dim() - 2)))
        weight, bias = (None if t is None else run(torch.reshape, t, shape) for t in (weight, bias))
    if weight is not None:
        out = run(torch.mul, out, weight)
    if bias is not None:
        out = run(torch.add, out, bias)
    return valued(out, value)


def _norm(*names: str) -> Callable[[Handler], Handler]:
    """Decorator: the function below handles these norms where scale and shift are weights."""

    def add(handler: Handler) -> Handler:
        def handle(
            session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            if _is_conditional(func, args, kwargs):
                return _conditional(session, func, args, kwargs)
            if not is_active(_bind(func, args, kwargs)["input"]):
                return _plain(session, func, args, kwargs)
            return handler(session, func, args, kwargs)

        register("norm", names, handle, apart=_is_conditional)
        return handler

    return add


@_norm("layer_norm", "rms_norm", "group_norm")
def _own_statistics(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Norms by the statistics of the sample itself."""
    name = ENTRIES[func].name
    given = {"eps": _EPS[name], **_bind(func, args, kwargs)}
    rule = _rule(session, func)
    if rule is None:
        return _plain(session, func, args, kwargs)
    return getattr(rule, name)(*(given.get(n) for n in _SIGNATURES[name]), session.measure)


@_norm("instance_norm")
def _instance_norm(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    given = _bind(func, args, kwargs)
    if not given.get("use_input_stats", True):
        return _running_norm(session, func, args, kwargs, given)
    rule = _rule(session, func)
    if rule is None:
        return _plain(session, func, args, kwargs)
    weight, bias, eps = given.get("weight"), given.get("bias"), given.get("eps", 1e-5)
    return rule.instance_norm(given["input"], weight, bias, eps, session.measure)


@_norm("batch_norm")
def _batch_norm(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = _bind(func, args, kwargs)
    if given.get("training", False):
        if given.get("running_mean") is None:
            session.refuse(
                "batch norm has no running statistics (track_running_stats=False), so it uses "
                "those of the batch and samples explain each other, in eval mode too; give it "
                "running statistics, or use a norm of single samples, such as GroupNorm"
            )
        session.refuse(
            "batch norm uses the statistics of the batch (training mode), so samples explain each "
            "other; call model.eval() first"
        )
    return _running_norm(session, func, args, kwargs, given)


def _running_norm(
    session: Session,
    func: Func,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    given: dict[str, Any],
) -> Any:
    """With running statistics the norm is affine: x s + (beta - mean s), s = gamma / sigma."""
    x = given["input"]
    rule = session.rule("norm", func)
    out = func(*args, **kwargs)
    session.claim(out, args, kwargs)
    if out.grad_fn is not None and out.dim() > 2 and out.shape[0] == 1:
        out.grad_fn.register_prehook(_StridesOf(out.stride()))
    if given.get("running_mean") is None:
        return out
    if operation_of(x) is not None and not isinstance(rule, Gradient):
        session.merging |= follow(x, *_affine(given))
    if session.measure is not None:
        _, shift = _affine(given)
        shape = (-1, *([1] * (out.dim() - 2)))
        session.measure.declare(out, _BetaShare(shift.reshape(shape).detach()))
    return out


class _StridesOf:
    """Lays out the gradient as the output is.

    torch's backward misreads a gradient of one image that was transposed: it takes the strides
    for channels-last, and the gradient of the plain model is wrong, too (torch 2.13, CPU).
    """

    __slots__ = ("strides",)

    def __init__(self, strides: tuple[int, ...]) -> None:
        self.strides = strides

    def __call__(self, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        g = grads[0]
        if g is None or g.stride() == self.strides:
            return grads
        return (
            torch.empty_strided(g.shape, self.strides, dtype=g.dtype, device=g.device).copy_(g),
        )


def _affine(given: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """scale and shift of a BatchNorm with running statistics, [channels] in float64."""
    mean, var = given["running_mean"].double(), given["running_var"].double()
    scale = torch.rsqrt(var + given.get("eps", 1e-5))
    if given.get("weight") is not None:
        scale = scale * given["weight"].double()
    shift = -mean * scale
    if given.get("bias") is not None:
        shift = shift + given["bias"].double()
    return scale.detach(), shift.detach()


@handles("norm", "normalize")
def _normalize(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x / max(|x|_p, eps) with the norm constant."""
    given = {**dict(zip(("input", "p", "dim", "eps", "out"), args, strict=False)), **kwargs}
    x = given["input"]
    if not is_active(x):
        return _plain(session, func, args, kwargs)
    rule = _rule(session, func)
    if rule is None:
        return _plain(session, func, args, kwargs)
    frozen = x.detach()
    norm = frozen.norm(given.get("p", 2.0), given.get("dim", 1), keepdim=True)
    return x / norm.clamp_min(given.get("eps", 1e-12)).expand_as(x)
