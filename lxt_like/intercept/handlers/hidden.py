"""Functions of several steps that add constants inside, which are brought to light."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn import _reduction

from ..causes import put_cause
from ..registry import ENTRIES, Entry, Func, handles
from ..session import Session
from ..tags import flat
from .common import argument, is_active


def _live(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return any(is_active(t) for t in flat((*args, *kwargs.values())))


_L1 = inspect.signature(F.l1_loss)


@handles("composite", "l1_loss")
def _l1_loss(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """|x - y|, weighed, and its mean or sum."""
    if not _live(args, kwargs) or func is not F.l1_loss:
        return func(*args, **kwargs)
    given = _L1.bind(*args, **kwargs)
    given.apply_defaults()
    a = given.arguments
    func(*(t.detach() for t in (a["input"], a["target"])), reduction="none")  # warns, or raises
    how, weight = a["reduction"], a.get("weight")
    if a["size_average"] is not None or a["reduce"] is not None:
        how = _reduction.legacy_get_string(a["size_average"], a["reduce"])
    run = session.run
    out = run(torch.abs, run(torch.sub, a["input"], a["target"]))
    if weight is not None:
        out = run(torch.mul, out, weight)
    if how == "none":
        return out
    if how == "mean" and weight is None:
        return run(torch.mean, out)
    out = run(torch.sum, out)
    return run(torch.div, out, run(torch.sum, weight)) if how == "mean" else out


@handles("composite", "smooth_l1_loss")
def _smooth_l1_loss(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Without a smooth part it is the loss above; with one it has no rule."""
    if func is F.smooth_l1_loss and argument(args, kwargs, 5, "beta", 1.0) == 0:
        return session.run(F.l1_loss, *args[:5], **{k: v for k, v in kwargs.items() if k != "beta"})
    out = func(*args, **kwargs)
    session.note(out, func)
    return out


@handles("affine", "kl_div", "poisson_nll_loss", "multilabel_soft_margin_loss", "prelu")
def _affine(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A x + b in the one signal, where autograd's nodes need no rule: b = f(0) is constant.

    As KL divergence to a constant, and PReLU, which adds nothing but where its slopes are a signal.
    """
    out = func(*args, **kwargs)
    session.note(out, func)
    if session.measure is not None and sum(map(is_active, flat((*args, *kwargs.values())))) == 1:
        with torch.no_grad():
            blank = {k: _without(v) for k, v in kwargs.items()}
            session.measure.add_constant(func(*map(_without, args), **blank), cause="constant")
    return out


def _without(t: Any) -> Any:
    return torch.zeros_like(t) if is_active(t) else t


def _power(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A^n: the identity, whatever A, for n = 0."""
    out = func(*args, **kwargs)
    session.note(out, func)
    if argument(args, kwargs, 1, "n", None) == 0:
        out = out.detach()
        put_cause(out, "constant")
    return out


for _f in (torch.linalg.matrix_power, torch.matrix_power, torch.Tensor.matrix_power):
    ENTRIES[_f] = Entry("matrix_power", "matmul", _power)
