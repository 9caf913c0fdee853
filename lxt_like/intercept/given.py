"""What a call from outside hands in, and that this is what is explained."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..rules.live import Explained
from .session import Session
from .transform import transformed
from .trust import now

_ITEMS = (list, tuple, set, frozenset, deque)
_OPAQUE = (str, bytes, int, float, complex, type, ModuleType, nn.Module)


def begin(session: Session, given: Any, trained: bool) -> None:
    """A call begins: the tensors that it hands in are explained, wherever they come from.

    Unless what is explained was named before: ``session.known``.

    Args:
        given: its arguments, in any containers.
        trained: whether some parameter may require grad.
    """
    if not session.known:
        session.explained = Explained()
        session.explained.named = explain_all(session.explained, given)
    session.unasked = trained and not session.given
    if session.frozen:
        session.start = now()


def explain_all(explained: Explained, given: Any) -> bool:
    """Explain all that requires grad in these containers, parameters aside; whether any does."""
    if transformed() or torch.is_inference_mode_enabled():  # where nothing takes a rule
        return False
    found = False
    for t in tensors_in(given):
        if t.requires_grad and not isinstance(t, nn.Parameter):
            explained.add(t)
            found = True
    return found


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
