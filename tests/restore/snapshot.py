"""What a model is made of, by identity: `snapshot` before, `differences` after.

Equal is not enough: a replaced parameter orphans an optimizer, a forward left on an instance
shadows its class. So modules, attributes, parameters, hooks and the classes themselves are
compared as objects. A snapshot holds on to every object it saw, so that no id is ever reused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


@dataclass(frozen=True)
class Snapshot:
    """Facts by label; an object is compared by `is`, everything else by `same`."""

    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Same:
    """A fact that is compared as the identical object."""

    value: Any

    def same(self, other: Any) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __str__(self) -> str:
        text = repr(self.value)
        # a module's repr is a page long
        short = type(self.value).__name__ if "\n" in text or len(text) > 80 else text
        return f"{short} at {id(self.value):#x}"


@dataclass(frozen=True)
class Equal:
    """A fact that is compared by equality."""

    value: Any

    def same(self, other: Any) -> bool:
        return isinstance(other, Equal) and bool(self.value == other.value)

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True)
class Bits:
    """A tensor's contents, compared bit by bit (NaN equals itself, 0.0 is not -0.0)."""

    value: Tensor

    def same(self, other: Any) -> bool:
        if not isinstance(other, Bits):
            return False
        mine, theirs = self.value, other.value
        if (mine.dtype, mine.shape) != (theirs.dtype, theirs.shape):
            return False
        return torch.equal(_bytes(mine), _bytes(theirs))

    def __str__(self) -> str:
        return f"{self.value.dtype} {tuple(self.value.shape)} tensor of other values"


def snapshot(model: nn.Module) -> Snapshot:
    """Record what `model` is: every module, attribute, hook, parameter, buffer and class.

    Covers, for each module: the object, its class, its `__dict__` (keys in order, values by
    identity, and one level into dicts, lists, sets and configurations: so also its children,
    parameters, buffers and every kind of hook); for each parameter and buffer: the object, its
    storage, version, requires_grad, grad, attributes and hooks; the state_dict, bit by bit; the
    attributes of each class and the globals of the files the classes were written in.
    """
    with torch.no_grad():
        return Snapshot(dict(_facts(model)))


def differences(before: Snapshot, model: nn.Module) -> list[str]:
    """One line for each fact that changed since `before`; empty: the identical objects."""
    after = snapshot(model)
    lines = []
    for label in [*before.facts, *(label for label in after.facts if label not in before.facts)]:
        old, new = before.facts.get(label), after.facts.get(label)
        if old is None:
            lines.append(f"{label}: added ({new})")
        elif new is None:
            lines.append(f"{label}: gone (was {old})")
        elif not old.same(new):
            lines.append(f"{label}: was {old}, is {new}")
    return lines


def _facts(model: nn.Module) -> Iterator[tuple[str, Any]]:
    classes: dict[type, None] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        label = name or "(model)"
        yield f"{label}: object", Same(module)
        yield f"{label}: class", Same(type(module))
        yield from _attributes(label, vars(module))
        classes |= dict.fromkeys(type(module).__mro__)
    for kind, named in (
        ("parameter", model.named_parameters(remove_duplicate=False)),
        ("buffer", model.named_buffers(remove_duplicate=False)),
    ):
        for name, tensor in named:
            yield from _tensor(f"{kind} {name}", tensor)
    state = model.state_dict()
    yield "state_dict: keys", Equal(list(state))
    for name, value in state.items():
        if isinstance(value, Tensor):
            yield f"state_dict {name}: values", Bits(value.clone())
    files = dict.fromkeys(cls.__module__ for cls in classes if cls is not object)
    for cls in classes:
        for key, value in vars(cls).items():
            yield f"class {cls.__qualname__}.{key}", Same(value)
    for file in files:
        for key, value in vars(sys.modules[file]).items():
            yield f"global {file}.{key}", Same(value)
            if key.startswith("_global_"):  # torch's hooks on every module there is
                yield from _contents(f"global {file}.{key}", value)


def _attributes(label: str, attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield f"{label}: attribute names", Equal(list(attributes))
    for key, value in attributes.items():
        yield f"{label}.{key}", Same(value)
        yield from _contents(f"{label}.{key}", value)


def _contents(label: str, value: Any) -> Iterator[tuple[str, Any]]:
    """One level into containers and configurations, which change without changing identity."""
    if hasattr(value, "to_dict") and hasattr(value, "__dict__"):
        value = vars(value)
    if isinstance(value, Mapping):
        yield f"{label}: keys", Equal(list(value))
        for key, entry in value.items():
            yield f"{label}[{key!r}]", Same(entry)
    elif isinstance(value, list | tuple):
        for place, entry in enumerate(value):
            yield f"{label}[{place}]", Same(entry)
    elif isinstance(value, set | frozenset):
        yield f"{label}: members", Equal(frozenset(value))


def _tensor(label: str, tensor: Tensor) -> Iterator[tuple[str, Any]]:
    yield f"{label}: object", Same(tensor)
    yield f"{label}: storage", Equal((tensor.data_ptr(), tensor.stride(), tensor.storage_offset()))
    yield f"{label}: version", Equal(tensor._version)
    yield f"{label}: requires_grad", Equal(tensor.requires_grad)
    yield f"{label}: values", Bits(tensor.detach().clone())
    yield f"{label}: grad", Same(tensor.grad)
    if tensor.grad is not None:
        yield f"{label}: grad values", Bits(tensor.grad.detach().clone())
    yield from _attributes(label, vars(tensor))
    for hooks in TENSOR_HOOKS:
        yield from _contents(f"{label}: {hooks}", dict(getattr(tensor, hooks) or {}))


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)
