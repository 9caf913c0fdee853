"""What a call from outside hands in, and that this is what is explained."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from ..rules.live import explain_at
from .session import Session

_ITEMS = (list, tuple, set, frozenset, deque)
_OPAQUE = (str, bytes, int, float, complex, type, ModuleType, nn.Module)


def begin(session: Session, given: Any, trained: bool) -> None:
    """A call begins: the tensors that it hands in are explained, wherever they come from.

    Args:
        given: its arguments, in any containers.
        trained: whether some parameter may require grad.
    """
    found = False
    for t in tensors_in(given):
        if t.requires_grad and not isinstance(t, nn.Parameter):
            explain_at(t)
            found = True
    session.given = found
    session.unasked = trained and not found


def tensors_in(given: Any) -> Iterator[Tensor]:
    """The tensors in arguments, also inside mappings, sequences, dataclasses and objects."""
    todo: list[tuple[Any, bool]] = [(given, True)]
    seen: set[int] = set()  # a container may hold itself
    while todo:
        value, whole = todo.pop()
        if isinstance(value, Tensor):
            yield value
            continue
        if value is None or isinstance(value, _OPAQUE) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            inside: Any = value.values()
        elif isinstance(value, _ITEMS):
            inside = value
        elif is_dataclass(value):
            inside = [getattr(value, f.name, None) for f in fields(value)]
        elif whole and hasattr(value, "__dict__") and not callable(value):
            inside, whole = vars(value).values(), False  # not what an object's objects refer to
        else:
            continue
        todo.extend((v, whole) for v in inside)
