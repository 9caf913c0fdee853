"""What stands in for a module's attributes under a patch, and where a module may be entered."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ..errors import PatchError
from ..intercept.given import tensors_in

if TYPE_CHECKING:
    from .patch import Patch

_MISSING = object()


class Scoped:
    """A module's attribute under a patch: calls go through the innermost patch.

    Callable like the original (``inspect.signature`` sees through it); refuses to be copied or
    pickled, because a copy would stay patched for ever.
    """

    def __init__(self, module: nn.Module, attribute: str) -> None:
        self.module, self.attribute = module, attribute
        self.before = module.__dict__.get(attribute, _MISSING)
        self.original: Callable[..., Any] = getattr(module, attribute)
        self.__wrapped__ = self.original
        self.patches: list[tuple[Patch, str, tuple[str, ...], bool]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.patches:  # somebody kept model.forward beyond the patch
            return self.original(*args, **kwargs)
        patch, path, types, watched = self.patches[-1]
        return patch.enter(self, path, types, watched, args, kwargs)

    def under(self, since: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same call through the innermost patch that was on before ``since``."""
        on = [p for p in self.patches if p[0].since < since]
        if not on:
            return self.original(*args, **kwargs)
        patch, path, types, watched = on[-1]
        return patch.enter(self, path, types, watched, args, kwargs)

    def put(self) -> None:
        self.module.__dict__[self.attribute] = self

    def take_back(self) -> None:
        if self.before is _MISSING:
            self.module.__dict__.pop(self.attribute, None)
        else:
            self.module.__dict__[self.attribute] = self.before

    def __deepcopy__(self, memo: Any) -> Any:
        raise PatchError("this model is patched: restore it before copying or pickling it")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise PatchError("this model is patched: restore it before copying or pickling it")


class ScopedCheckpoint(Scoped):
    """transformers' checkpointing function: what is recomputed runs under the patch too."""

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self.patches:
            return self.original(function, *args, **kwargs)
        patch, path, types, _ = self.patches[-1]
        return self.original(patch.recomputed(function, path, types), *args, **kwargs)


class ScopedCall(Scoped):
    """A module's call, with the hooks around its forward: all of that is the model."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.patches or self.patches[-1][0].runs_here():
            return self.original(*args, **kwargs)
        return self.enter(args, kwargs)

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Enter the model here.  Watched is what its forward returns, nothing else."""
        patch, path, types, _ = self.patches[-1]
        return patch.enter(self, path, types, False, args, kwargs)


class ScopedMethod(ScopedCall):
    """Another public method, called from outside with tensors."""

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        computes = torch.is_grad_enabled() and any(True for _ in tensors_in((args, kwargs)))
        return super().enter(args, kwargs) if computes else self.original(*args, **kwargs)


class ScopedClass(ScopedCall):
    """A ``__call__`` that the module's class has of its own: looked up there, not on the module.

    The class gets another one meanwhile, which leaves its other instances alone.
    """

    def __init__(self, module: nn.Module, attribute: str) -> None:
        super().__init__(module, attribute)
        self.owner = next(c for c in type(module).__mro__ if attribute in vars(c))
        _, before = _classes.get(self.owner, ({}, vars(self.owner)[attribute]))
        self.original = self.__wrapped__ = MethodType(before, module)

    def put(self) -> None:
        if self.owner not in _classes:
            before = vars(self.owner)[self.attribute]
            _classes[self.owner] = ({}, before)
            setattr(self.owner, self.attribute, _dispatching(*_classes[self.owner]))
        _classes[self.owner][0][id(self.module)] = self

    def take_back(self) -> None:
        instances, before = _classes[self.owner]
        instances.pop(id(self.module), None)
        if not instances:
            del _classes[self.owner]
            setattr(self.owner, self.attribute, before)


_classes: dict[type, tuple[dict[int, ScopedClass], Callable[..., Any]]] = {}
"""Class -> its instances under a patch, and its own ``__call__``."""


def _dispatching(
    instances: dict[int, ScopedClass], before: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(before)
    def call(self: nn.Module, /, *args: Any, **kwargs: Any) -> Any:
        scoped = instances.get(id(self))
        return before(self, *args, **kwargs) if scoped is None else scoped(*args, **kwargs)

    return call


def entrances(module: nn.Module) -> list[tuple[str, type[Scoped]]]:
    """The attributes, besides ``forward``, by which a module may be called from outside."""
    cls = type(module)
    found = _entrances.get(cls)
    if found is None:
        found = _entrances[cls] = _entrances_of(cls)
    return found


_entrances: WeakKeyDictionary[type[nn.Module], list[tuple[str, type[Scoped]]]] = WeakKeyDictionary()


def _entrances_of(cls: type[nn.Module]) -> list[tuple[str, type[Scoped]]]:
    found: list[tuple[str, type[Scoped]]] = [("_call_impl", ScopedCall)]
    call = _own(cls).get("__call__")
    if isinstance(call, FunctionType) and not _is_library(call):
        found.append(("__call__", ScopedClass))
    found += [
        (name, ScopedMethod)
        for name, value in _own(cls).items()
        if isinstance(value, FunctionType)
        and not (name.startswith("_") or hasattr(nn.Module, name))
        and not _is_library(value)
    ]
    return found


def _own(cls: type) -> dict[str, Any]:
    """What instances find on their class."""
    return {name: value for c in reversed(cls.__mro__) for name, value in vars(c).items()}


def _is_library(function: FunctionType) -> bool:
    """Whether a function is machinery, and no model's: of torch, of transformers' own bases."""
    name, _, rest = str(function.__module__).partition(".")
    return name == "torch" or (name == "transformers" and not rest.startswith("models."))
