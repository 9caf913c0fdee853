"""Why an operation keeps relevance that no rule of its own declares: constants, casts, cuts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..numerics import Amount, inner
from ..rules.live import is_active
from .names import follow, words
from .registry import Func, out_of_place_of, writes_in_place

ADDITIVE = frozenset({"add", "sum", "pooling"})
"""Kinds of operation that are linear in all their tensor operands together."""

VALUES = frozenset(
    """
    maximum minimum fmax fmin hypot dist cat concat concatenate stack hstack vstack dstack
    column_stack block_diag select_scatter slice_scatter diagonal_scatter
    """.split()
)
"""Those of them all of whose tensors are values: a whole number is one, and no index."""

_CAUSE = "_lxt_cause"
_POSITION = frozenset(
    "pos position positions positional posemb posembed relpos wpe rotary alibi".split()
)
_SEGMENT = frozenset({"segment", "segments"})
_TOKENS = {
    **dict.fromkeys(("cls", "class"), "cls"),
    **dict.fromkeys(("dist", "distillation"), "distillation"),
    **dict.fromkeys(("reg", "register"), "register"),
}
_EMBEDDED = frozenset("token tokens embedding embeddings embed embeds emb embs".split())
_PRIORITY = (
    "cut",
    "position",
    *dict.fromkeys(_TOKENS.values()),
    "token_type",
    "bias",
    "constant",
)


def cause_of_name(name: str) -> str:
    """Which cause a parameter or module stands for, by its name."""
    found = words(name)
    if not _POSITION.isdisjoint(found) or follow(found, "relative", "attention", "bias"):
        return "position"
    if not _SEGMENT.isdisjoint(found) or follow(found, "token", "type"):
        return "token_type"
    last = name.rsplit(".", 1)[-1]
    for word, after in pairwise(words(last)):
        if word in _TOKENS and after in _EMBEDDED:
            return _TOKENS[word]
    return "bias" if last.endswith("bias") else "constant"


def cause_of(t: Tensor, names: dict[int, str]) -> str:
    """The cause a constant operand is booked under."""
    found = getattr(t, _CAUSE, None)
    if found is not None:
        return str(found)
    return cause_of_name(names[id(t)]) if id(t) in names else "constant"


def cause_of_all(tensors: Iterable[Tensor], names: dict[int, str]) -> str:
    """The cause that a constant computed from ``tensors`` is booked under."""
    found = {cause_of(t, names) for t in tensors}
    return next((c for c in _PRIORITY if c in found), "constant")


def put_cause(t: Tensor, cause: str) -> None:
    """Remember what the constant ``t`` stands for."""
    setattr(t, _CAUSE, cause)


def mark(out: Any, tensors: list[Tensor], func: Func, path: str, names: dict[int, str]) -> None:
    """Remember what a constant result stands for, from what it was computed from."""
    found: set[str] = set()
    if any(is_active(t) for t in tensors):
        found.add("cut")
    looked_up = getattr(func, "__name__", "") == "embedding"
    if looked_up:
        found.add(cause_of_name(path))
    else:
        found.update(cause_of(t, names) for t in tensors if t.is_floating_point())
    # what comes of a look-up are values of their own (a decoder's words), which stay what they are
    # where positions are mixed in; a weight or a number takes the cause of what it meets
    values = looked_up or any(getattr(t, _CAUSE, "") == "constant" for t in tensors)
    if values and "constant" in found and "cut" not in found:
        best: str | None = "constant"
    else:
        best = next((c for c in _PRIORITY if c in found and c != "constant"), None)
    if best is None:
        return
    for t in out if isinstance(out, (tuple, list)) else (out,):
        if isinstance(t, Tensor) and not is_active(t) and id(t) not in names:
            put_cause(t, best)


def constant_share(cause: str, value: Tensor, factor: float, g: Tensor) -> dict[str, Amount]:
    """``factor * value`` was added to the output."""
    return {cause: factor * inner(torch.broadcast_to(value, g.shape), g)}


def rounding(out: Tensor, x: Tensor, g: Tensor) -> dict[str, Amount]:
    """What a cast loses, in the value and in the gradient: out g - x cast(g)."""
    if out.dtype == x.dtype or not x.is_floating_point():
        return {}
    return {"rounding": inner(out, g) - inner(x, g.to(x.dtype))}


MOVED = "transpose_ t_ swapaxes_ swapdims_ squeeze_ unsqueeze_ as_strided_ rename_".split()
"""What gives its first argument other axes; the values stay as and where they are."""

_NOT_WRITES = frozenset({"requires_grad_", "share_memory_", "detach_", "retain_grad_", *MOVED})


def overwrites(func: Func, kwargs: dict[str, Any]) -> bool:
    """Whether ``func`` writes into its first argument."""
    name = getattr(func, "__name__", "")
    if "dropout" in name and kwargs.get("training") is False:
        return False
    if name == "__setitem__" or kwargs.get("inplace"):
        return True
    return writes_in_place(func) and name not in _NOT_WRITES


def set_item(x: Tensor, index: Any, value: Any) -> Tensor:
    """``x`` with ``x[index] = value``, as a new tensor."""
    y = x.clone()
    y[index] = value
    return y


def filled(x: Tensor, value: float | Tensor = 0.0) -> Tensor:
    """What ``x.fill_(value)`` leaves in x, as a new tensor that is no part of x's relevance."""
    return x.masked_fill(torch.ones((), dtype=torch.bool, device=x.device), value)


def filled_diagonal(x: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """What ``x.fill_diagonal_(fill_value)`` leaves in x, as a new tensor."""
    return x.clone().fill_diagonal_(fill_value, wrap)


def overwritten(x: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """What ``x.copy_(source)`` leaves in x, as a new tensor."""
    return source.to(x.dtype).expand(x.shape).clone()


def out_of_place(
    func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Func | None, tuple[Any, ...], dict[str, Any]]:
    """The function that computes the same into a new tensor; None if there is none."""
    name = getattr(func, "__name__", "")
    rest = args[1:]
    if kwargs.get("inplace"):
        return func, rest, {k: v for k, v in kwargs.items() if k != "inplace"}
    if name == "__setitem__":
        return set_item, rest, kwargs
    if name == "copy_":
        return overwritten, rest, kwargs
    if name in ("zero_", "fill_"):
        return filled, rest, kwargs
    if name == "fill_diagonal_":
        return filled_diagonal, rest, kwargs
    if name in ("normal_", "uniform_", "set_", "resize_"):
        return None, rest, kwargs
    return out_of_place_of(func), rest, kwargs
