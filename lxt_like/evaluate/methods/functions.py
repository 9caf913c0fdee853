"""What a function of one's own does, as digits: the same in another process for the same code."""

from __future__ import annotations

import dis
import functools
import hashlib
import re
import threading
import types
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..identity import fingerprint
from ..keys import digest_of

_PLAIN = (str, bytes, int, float, complex, type(None), type(...))
_EMPTY = (type(threading.Lock()), type(threading.RLock()), threading.Event, threading.local)
"""What decides no number."""
_NAMED = (type, types.BuiltinFunctionType, types.ModuleType)


def told(function: Any) -> str:
    """Name and 16 digits of a function: of its code, defaults, and what it uses from outside.

    Functions and classes of other modules count by their names.  Where something cannot be told
    from others of its type, the digits are new each time: what may not be the same is never taken
    for it.
    """
    named = function if hasattr(function, "__qualname__") else type(function)
    try:
        made = _Told(_home(function)).of(function)
    except RecursionError:
        made = uuid.uuid4().hex
    return f"{named.__module__}.{named.__qualname__} {made[:16]}"


class _Told:
    """Digits of any value; ``module``: where functions are told by their code."""

    def __init__(self, module: str | None) -> None:
        self.module = module
        self.found: dict[int, tuple[str, Any]] = {}  # kept alive, so that no id comes twice

    def of(self, value: Any) -> str:
        if isinstance(value, _PLAIN):
            return repr(value)
        if id(value) not in self.found:
            self.found[id(value)] = "itself", value  # should it be inside
            parts = repr(self._parts(value)).encode("utf-8", "surrogatepass")
            self.found[id(value)] = hashlib.sha256(parts).hexdigest(), value
        return self.found[id(value)][0]

    def _parts(self, value: Any) -> Any:
        if isinstance(value, _NAMED):
            return _name(value)
        if isinstance(value, tuple | list):
            return [_name(type(value)), *map(self.of, value)]
        if isinstance(value, set | frozenset):
            return [_name(type(value)), *sorted(map(self.of, value))]
        if isinstance(value, Mapping):
            return [_name(type(value)), *((self.of(k), self.of(v)) for k, v in value.items())]
        if isinstance(value, Tensor | np.ndarray | np.generic):
            return digest_of(value)
        if isinstance(value, nn.Module):
            return [re.sub(r"0x[0-9a-f]+", "", repr(value)), fingerprint(value, None)]
        if isinstance(value, types.CodeType):
            return [value.co_code.hex(), value.co_names, value.co_varnames, *self._constants(value)]
        if isinstance(value, functools.partial):
            return [self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, types.MethodType):
            return [self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        return self._object(value)

    def _constants(self, code: types.CodeType) -> list[Any]:
        return [self.of(constant) for constant in code.co_consts]

    def _function(self, value: types.FunctionType) -> list[Any]:
        if value.__module__ != self.module and "<" not in value.__qualname__:  # no lambda or local
            return [_name(value)]
        cells = [_inside(cell) for cell in value.__closure__ or ()]
        used = {name: value.__globals__.get(name) for name in sorted(_globals(value.__code__))}
        return [
            self.of(part)
            for part in (value.__code__, value.__defaults__, value.__kwdefaults__, cells, used)
        ]

    def _object(self, value: Any) -> list[Any]:
        kind = type(value)
        if kind.__module__ == self.module and hasattr(value, "__dict__"):
            code = [part for part in vars(kind).values() if isinstance(part, types.FunctionType)]
            return [_name(kind), self.of(code), self.of(vars(value))]
        if isinstance(value, _EMPTY):
            return [_name(kind)]
        if isinstance(value, torch.Generator):
            return [_name(kind), digest_of(value.get_state())]
        try:
            made = value.__reduce_ex__(2)
        except Exception:  # objects say in any way that they cannot be written down
            return [_name(kind), uuid.uuid4().hex]
        if isinstance(made, str):  # its name
            return [_name(kind), made]
        # part by part, since a set inside is written in another order by each process
        return [
            _name(kind),
            *map(self.of, made[1:3]),
            *(self.of([*more]) for more in made[3:5] if more),
        ]


def _home(function: Any) -> str | None:
    """The module of a function, or of that inside a partial one."""
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return getattr(named, "__module__", None)


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}"


def _inside(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _globals(code: types.CodeType) -> set[str]:
    """Names that a function and those inside it look up outside, and do not count up themselves."""
    return {*_names(code, "LOAD_GLOBAL", "LOAD_NAME")} - {*_names(code, "STORE_GLOBAL")}


def _names(code: types.CodeType, *instructions: str) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in instructions:
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant, *instructions)
