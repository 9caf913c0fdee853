"""Normalisations called as one function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...rules.base import Gradient
from ...rules.linear import operation_of
from ...rules.norm import ConstantScale, _BetaShare
from ..merge import follow
from ..registry import ENTRIES, Func, handles
from ..session import Session
from ..tags import flat
from .common import is_active


def _bind(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _rule(session: Session, func: Func) -> ConstantScale | None:
    rule = session.rule("norm", func)
    return rule if isinstance(rule, ConstantScale) else None


def _plain(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """With its own gradient; of a constant a norm is linear in its weight and bias."""
    out = func(*args, **kwargs)
    session.claim(out, func, flat((*args, *kwargs.values())))
    return out


# torch's parameter names, in the order of the rule's methods of the same name
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
}
_EPS: dict[str, float | None] = {"layer_norm": 1e-5, "rms_norm": None, "group_norm": 1e-5}


@handles("norm", *_SIGNATURES)
def _own_statistics(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Norms by the statistics of the sample itself."""
    name = ENTRIES[func].name
    given = {"eps": _EPS[name], **_bind(_SIGNATURES[name], args, kwargs)}
    x, *options = (given.get(n) for n in _SIGNATURES[name])
    if not is_active(x):
        return _plain(session, func, args, kwargs)
    rule = _rule(session, func)
    if rule is None:
        return _plain(session, func, args, kwargs)
    return getattr(rule, name)(x, *options, session.measure)


@handles("norm", "instance_norm")
def _instance_norm(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    names = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats")
    given = _bind((*names, "momentum", "eps"), args, kwargs)
    x = given["input"]
    if not is_active(x):
        return _plain(session, func, args, kwargs)
    if not given.get("use_input_stats", True):
        return _running_norm(session, func, args, kwargs, given)
    rule = _rule(session, func)
    if rule is None:
        return _plain(session, func, args, kwargs)
    weight, bias, eps = given.get("weight"), given.get("bias"), given.get("eps", 1e-5)
    return rule.instance_norm(x, weight, bias, eps, session.measure)


@handles("norm", "batch_norm")
def _batch_norm(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    names = ("input", "running_mean", "running_var", "weight", "bias", "training")
    given = _bind((*names, "momentum", "eps"), args, kwargs)
    if not is_active(given["input"]):
        return _plain(session, func, args, kwargs)
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
    session.claim(out, func, (x,))
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
    given = _bind(("input", "p", "dim", "eps", "out"), args, kwargs)
    x = given["input"]
    if not is_active(x):
        return _plain(session, func, args, kwargs)
    rule = _rule(session, func)
    if rule is None:
        return _plain(session, func, args, kwargs)
    frozen = x.detach()
    norm = frozen.norm(given.get("p", 2.0), given.get("dim", 1), keepdim=True)
    return x / norm.clamp_min(given.get("eps", 1e-12)).expand_as(x)
