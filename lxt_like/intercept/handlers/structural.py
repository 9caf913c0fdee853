"""Functions that move, select, cast or add values: relevance passes through them unchanged.

They need no rule; what matters is that the role of a tensor survives them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...rules.add import Ratio
from ..causes import MOVED, filled_diagonal, out_of_place, overwritten, set_item
from ..registry import ENTRIES, Entry, Func, functions, handles, register, register_properties
from ..roles import WEIGHTS, common_role, give, hand_on
from ..session import Session
from ..tags import Tag, carry, flat, follow, replace, tag
from ..twins import cast_twin, move_twin, move_twin_in_place, put_twin, shift_twin, twin
from .common import argument, is_active

# Pure rearrangements: every element of the output is one element of the input.
MOVES = """
    view reshape transpose permute t expand expand_as squeeze unsqueeze flatten unflatten
    contiguous clone __getitem__ select narrow chunk split unbind movedim swapaxes swapdims flip
    roll view_as reshape_as moveaxis adjoint ravel tile repeat repeat_interleave tensor_split
    hsplit vsplit dsplit split_with_sizes unsafe_chunk unsafe_split index_select gather
    take_along_dim take topk sort alias_copy broadcast_to atleast_1d atleast_2d atleast_3d
    diagonal unfold masked_select view_as_real view_as_complex as_strided pin_memory cpu
    channel_shuffle narrow_copy unsafe_split_with_sizes
""".split()

_BY_VALUE = ("topk", "sort")
"""Moves that depend on the values moved."""

CASTS = "to type type_as float half bfloat16 double".split()
"""Casts: a narrowing one loses rounding."""

SUMS = """
    sum mean cumsum nansum
    index_add scatter_add scatter index_copy index_put masked_scatter where masked_fill index_fill
    select_scatter slice_scatter diagonal_scatter block_diag put complex
    scatter_reduce index_reduce
""".split()
"""Linear in all their tensor operands together, or as maxima are."""

WRITES = """
    __setitem__ copy_ scatter_ scatter_add_ index_put_ index_copy_ index_add_ masked_scatter_
    masked_fill_ index_fill_ fill_diagonal_
""".split()
"""What writes values into its first argument, linear in them and in what stays."""

JOINS = "cat concat concatenate stack hstack vstack dstack column_stack".split()
ADDITIONS = "add sub subtract rsub __radd__ __rsub__".split()


def _known(names: list[str]) -> list[str]:
    return [n for n in names if functions(n)]


def _pass(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    out = func(*args, **kwargs)
    source = args[0] if args else None
    if isinstance(source, Tensor) and tag(source) is not None:
        carry(source, out)
    if session.first_layer:
        entry = ENTRIES[func]
        if entry.kind == "cast":
            cast_twin(func, args, kwargs, out)
        elif entry.name not in _BY_VALUE:
            move_twin(func, args, kwargs, out)
    return out


def _move_in_place(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The same values along other axes: the tensor takes its role and its twin with it."""
    x: Tensor = args[0]
    before, mate = x.detach(), twin(x)
    out = func(*args, **kwargs)
    found = tag(x)
    if found is not None:
        replace(x, Tag(found.role, axis=follow(before, found.axis, x)))
    plain, rest, options = out_of_place(func, args, kwargs)
    if mate is not None and plain is not None:
        move_twin_in_place(mate, plain, rest, options, x)
    return out


def _scatter(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Weights written into constants (a router's dense form) stay weights."""
    out = func(*args, **kwargs)
    tensors = list(flat((*args, *kwargs.values())))
    give(tensors, out, common_role(tensors))
    return out


def _write(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An overwritten tensor has a role only if all that is in it now has that role."""
    parts = list(flat((*args, *kwargs.values())))
    if getattr(func, "__name__", "") in ("copy_", "overwritten"):
        parts = [t for t in parts if t is not args[0]]
    role = common_role(parts)
    out = func(*args, **kwargs)
    replace(args[0] if out is None else out, None if role is None else Tag(role))
    return out


def _join(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Weights joined to weights are weights."""
    out = func(*args, **kwargs)
    tensors = args[0] if args else kwargs.get("tensors", ())
    give(tensors, out, common_role(tensors))
    return out


def _add(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    rule = _splitting(session, func, args)
    out = func(*args, **kwargs) if rule is None else _split(rule, func, args, kwargs)
    give(args[:2], out, _role_of_sum(args))
    if session.first_layer:
        shift_twin(func, args, kwargs, out)
    return out


def _add_in_place(
    session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    role = _role_of_sum(args)
    rule = _splitting(session, func, args)
    mates = tuple(twin(t) for t in args[:2]) if session.first_layer else ()
    if rule is None:
        out = func(*args, **kwargs)
    else:
        out = args[0].copy_(_split(rule, func, args, kwargs))
    replace(out, None if role is None else Tag(role))
    plain, _, _ = out_of_place(func, args, kwargs)
    if any(mates) and plain is not None:
        shift_twin(plain, args, kwargs, out, mates)
    return out


def _splitting(session: Session, func: Func, args: tuple[Any, ...]) -> Ratio | None:
    """The rule that splits a sum of two signals, if the composite has one for it."""
    if not session.ratio or len(args) < 2 or not all(is_active(t) for t in args[:2]):
        return None
    rule = session.rule("add", func)
    return rule if isinstance(rule, Ratio) else None


def _split(rule: Ratio, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    name = ENTRIES[func].name.strip("_")
    alpha = float(argument(args, kwargs, 2, "alpha", 1.0))
    form: Callable[..., Tensor]
    if name in ("sub", "subtract", "isub"):
        form, factors = torch.sub, (1.0, -alpha)
    elif name == "rsub":
        form, factors = torch.rsub, (-alpha, 1.0)
    else:
        form, factors = torch.add, (1.0, alpha)
    return rule.add(partial(form, alpha=alpha), args[0], args[1], factors)


def _role_of_sum(args: tuple[Any, ...]) -> str | None:
    """A weight plus a constant, or weights, is a weight still; plus another signal it is none."""
    if all(tag(t) is None for t in args[:2]):
        return None
    role = common_role(args[:2])
    signals = [t for t in args[:2] if is_active(t)]
    if role == "odd" and not all(isinstance(t, Tensor) for t in args[:2]):
        return "gate"  # 1 + tanh, 1 + erf: the gate of an activation written inline
    if role is None or (len(signals) > 1 and role not in WEIGHTS):
        return None
    return role


register("move", _known(MOVED), _move_in_place)
register("move", _known(MOVES), _pass)
register_properties("move", ("T", "mT", "H", "mH"), _pass)
register("cast", CASTS, _pass)
register("sum", WRITES, _write)
register("sum", _known([n for n in SUMS if not n.startswith(("scatter", "index_", "masked_f"))]))
register(
    "sum",
    _known([n for n in SUMS if n.startswith(("scatter", "index_", "masked_f"))]),
    _scatter,
)
ENTRIES[set_item] = Entry("set_item", "sum", _write)
ENTRIES[filled_diagonal] = Entry("filled_diagonal", "sum", _scatter)
ENTRIES[overwritten] = Entry("overwritten", "sum", _write)
register("sum", JOINS, _join)
register("add", ("add_", "sub_", "subtract_", "__iadd__", "__isub__"), _add_in_place)
register("add", _known(ADDITIONS), _add)


@handles("sum", "nan_to_num")
def _nan_to_num(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What is a number passes; the numbers in place of others are constants."""
    x: Tensor = args[0]
    out = func(*args, **kwargs)
    if session.measure is not None and is_active(x):
        session.measure.add_constant(
            out.detach().masked_fill(x.detach().isfinite(), 0), 1, "constant"
        )
    hand_on(func, args, kwargs, out)
    return out


@handles("composite", "broadcast_tensors")
def _broadcast(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Each tensor is expanded by itself, and keeps its role."""
    together = func(*args, **kwargs)
    made = [
        session.run(torch.broadcast_to, t, out.shape)
        for t, out in zip(flat(args), together, strict=True)
    ]
    return type(together)(made)


DROPOUTS = "dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout".split()
DROPOUTS += "feature_alpha_dropout dropout_ alpha_dropout_ feature_dropout_".split()


@handles("dropout", *DROPOUTS, "feature_alpha_dropout_", "native_dropout")
def _dropout(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Identity in eval mode; in training mode the explanation would be random."""
    training = argument(args, kwargs, 2, "training", kwargs.get("train", True))
    if training and argument(args, kwargs, 1, "p", 0.5) > 0 and is_active(args[0]):
        session.refuse(
            "dropout is active (training mode): each explanation would be random; "
            "call model.eval() first"
        )
    out = func(*args, **kwargs)
    carry(args[0], out)
    put_twin(out, twin(args[0]))
    return out
