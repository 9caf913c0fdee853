"""The registry: torch function -> the handler that gives it a rule.

A torch function has several names (``torch.matmul``, ``Tensor.matmul``, ``x @ y``); a handler
is registered for all of them at once, by name.  In-place forms are known by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from ..errors import RegistryError

if TYPE_CHECKING:
    from .session import Session

Func = Callable[..., Any]
Handler = Callable[["Session", Func, tuple[Any, ...], dict[str, Any]], Any]

_NAMESPACES = (torch, torch.Tensor, F, torch.special, torch.linalg, torch._C._nn)


Apart = Callable[[Func, tuple[Any, ...], dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a torch function.

    ``apart``: whether the handler takes a call apart into operations of other kinds, each of which
    a ledger records by itself.
    """

    name: str
    kind: str
    handler: Handler | None = None
    in_place_of: Func | None = None
    apart: Apart | None = None


ENTRIES: dict[Func, Entry] = {}
"""Every torch function that has a handler or is known to need none."""


def functions(name: str) -> list[Func]:
    """All torch functions called ``name``, over torch, Tensor and torch.nn.functional."""
    found: list[Func] = []
    for space in _NAMESPACES:
        f = getattr(space, name, None)
        if callable(f) and not isinstance(f, type) and f not in found:
            found.append(f)
    return found


def register(
    kind: str,
    names: Iterable[str],
    handler: Handler | None = None,
    apart: Apart | None = None,
    in_place_of: Func | None = None,
) -> None:
    """Register ``handler`` (None: nothing to do) for every torch function of these names.

    What writes the same into its first argument (``sigmoid_``, ``*=``) meets the same handler,
    unless it is among the names, or was registered before.

    Raises:
        RegistryError: for a name that no torch function has, or that already has an entry.
    """
    names = list(names)
    mine: set[Func] = set()  # torch has aliases: one function under two of these names
    for name in names:
        found = functions(name)
        if not found:
            raise RegistryError(
                f"register: torch, torch.Tensor and torch.nn.functional have no function {name!r}"
            )
        for f in found:
            if f in mine:
                continue
            if f in ENTRIES:
                raise RegistryError(
                    f"register: {name!r} already has the entry {ENTRIES[f].kind!r}; "
                    "one function, one handler"
                )
            ENTRIES[f] = Entry(name, kind, handler, in_place_of, apart)
            mine.add(f)
    if handler is not None:
        _derive(names)


def _derive(names: Iterable[str]) -> None:
    """Entries for the in-place forms of these functions, where they have none."""
    for name in names:
        for written in (f"{name}_", *(n for n, plain in _OPERATORS.items() if plain == name)):
            for f in functions(written):
                if f not in ENTRIES:
                    plain = functions(name)[0]
                    ENTRIES[f] = Entry(written, "in-place", in_place_of=plain)


_OPERATORS = {
    "__iadd__": "add",
    "__isub__": "sub",
    "__imul__": "mul",
    "__itruediv__": "div",
    "__idiv__": "div",
    "__ipow__": "pow",
}
"""Assignments such as ``x += y`` and what they compute."""


def writes_in_place(func: Func) -> bool:
    """Whether ``func`` is named as what writes its result into its first argument."""
    name = getattr(func, "__name__", "")
    return name in _OPERATORS or (name.endswith("_") and not name.endswith("__"))


def out_of_place_of(func: Func) -> Func | None:
    """What computes the same as an in-place ``func`` into a new tensor; None: nothing does."""
    entry = ENTRIES.get(func)
    if entry is not None and entry.in_place_of is not None:
        return entry.in_place_of
    name = getattr(func, "__name__", "")
    return next(iter(functions(_OPERATORS.get(name, name.rstrip("_")))), None)


def register_properties(kind: str, names: Iterable[str], handler: Handler | None = None) -> None:
    """Register ``handler`` for reading the properties of these names of a tensor (``x.mT``)."""
    for name in names:
        getter = getattr(torch.Tensor, name).__get__
        if getter in ENTRIES:
            raise RegistryError(f"register: the property {name!r} already has an entry")
        ENTRIES[getter] = Entry(name, kind, handler)


def handles(kind: str, *names: str, apart: Apart | None = None) -> Callable[[Handler], Handler]:
    """Decorator: :func:`register` the function below for these names, and their in-place forms."""

    def add(handler: Handler) -> Handler:
        register(kind, names, handler, apart)
        return handler

    return add


def in_place(out_of_place: str, *names: str) -> None:
    """Declare that ``names`` write what ``out_of_place`` computes into their first argument.

    Needed where the name does not say so.
    """
    register("in-place", names, in_place_of=functions(out_of_place)[0])


_INPUT = ("input",)
_PAIR = ("input", "other")
_OPERANDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("matmul", "mul", "multiply", "div", "divide", "true_divide"), _PAIR),
    **dict.fromkeys(("add", "sub", "subtract", "rsub", "inner", "maximum", "minimum"), _PAIR),
    **dict.fromkeys(("linear", "convolution"), ("input", "weight", "bias")),
    **{f"conv{n}d": ("input", "weight", "bias") for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": ("input", "weight", "bias") for n in (1, 2, 3)},
    **dict.fromkeys(("mm", "bmm"), ("input", "mat2")),
    **dict.fromkeys(("dot", "vdot"), ("input", "tensor", "other")),
    **dict.fromkeys(("pow", "float_power"), ("input", "exponent")),
    **dict.fromkeys(("baddbmm", "addbmm"), ("input", "batch1", "batch2")),
    "mv": ("input", "vec"),
    **dict.fromkeys(("outer", "ger"), ("input", "vec2")),
    "addmm": ("input", "mat1", "mat2"),
    "addmv": ("input", "mat", "vec"),
    **dict.fromkeys(("addcmul", "addcdiv"), ("input", "tensor1", "tensor2")),
    "bilinear": ("input1", "input2"),
    "lerp": ("input", "end", "weight"),
    "cosine_similarity": ("x1", "x2"),
    "where": ("condition", "input", "other"),
    "masked_fill": ("input", "mask", "value"),
}
_OF_METHOD: dict[Func, tuple[str, ...]] = {torch.Tensor.where: ("input", "condition", "other")}


def positional(
    func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call with its operands by position, as handlers read them: mul(x, other=y) -> mul(x, y).

    A ``self`` that a method was called on is position 0 already.
    """
    entry = ENTRIES.get(func)
    if entry is not None and entry.in_place_of is not None:
        entry = ENTRIES.get(entry.in_place_of)
    if entry is None or not kwargs:
        return args, kwargs
    names = _OF_METHOD.get(func) or _OPERANDS.get(entry.name, _INPUT)
    if len(args) >= len(names):
        return args, kwargs
    rest = dict(kwargs)
    moved = [rest.pop(name) for name in names[len(args) :] if name in rest]
    return (*args, *moved), rest


def name_of(func: Func) -> str:
    """A readable name for any torch function: 'torch.matmul', 'Tensor.__setitem__', ..."""
    entry = ENTRIES.get(func)
    if entry is not None:
        return entry.name
    return str(torch.overrides.resolve_name(func) or getattr(func, "__name__", func))
