"""Custom autograd functions: opaque to autograd's graph, given their rule where they are applied.

``torch.autograd.Function.apply`` is no torch function, so interception does not see it.  While a
patch lasts, the classes registered here get an ``apply`` of their own, which calls the handler if
this thread is running a patched model, and the original otherwise; with the last patch it goes.
A class is known by its full name, ``module.ClassName``, and is never imported for that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

from ..errors import RegistryError
from .mode import interceptor
from .session import Session

FunctionHandler = Callable[[Session, Any, tuple[Any, ...]], Any]
"""(session, the function's class, the arguments of apply) -> what the model goes on with.

Unlike in a handler of a torch function, torch functions that it calls meet their rules.
"""

FUNCTIONS: dict[str, FunctionHandler] = {}
"""Full name of a torch.autograd.Function -> its handler."""


_CLASSES: dict[str, Any] = {}
"""Those that were registered as a class."""


def handles_function(function: Any) -> Callable[[FunctionHandler], FunctionHandler]:
    """Decorator: the function below handles the autograd function, a class or its full name.

    Raises:
        RegistryError: for a name without a module, or one that has a handler.
    """
    name = function
    if isinstance(function, type):
        name = f"{function.__module__}.{function.__qualname__}"
    if "." not in name:
        raise RegistryError(f"handles_function: expected 'package.module.Class', got {name!r}")
    if name in FUNCTIONS:
        raise RegistryError(f"handles_function: {name!r} has a handler; one function, one rule")

    def add(handler: FunctionHandler) -> FunctionHandler:
        FUNCTIONS[name] = handler
        if isinstance(function, type):
            _CLASSES[name] = function
        return handler

    return add


class _Context:
    """Stands in for autograd's context: what a forward saves for a backward nobody runs."""

    needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Nothing to save."""

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Nothing to mark."""

    mark_dirty = set_materialize_grads = mark_non_differentiable


def opened(session: Session, cls: Any, args: tuple[Any, ...]) -> Any:
    """Run the function's forward as plain torch operations, each of which meets its rule.

    Right for a function whose backward is the derivative of its forward, and that exists to save
    memory; wrong for a straight-through estimator.
    """
    return cls.forward(_Context(), *args)


class _Apply:
    """``apply`` of a registered class while patches last."""

    def __init__(self, cls: Any, handler: FunctionHandler) -> None:
        self.cls, self.handler, self.original = cls, handler, cls.apply

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        session = interceptor().session
        if session is None or kwargs or not torch.is_grad_enabled():
            return self.original(*args, **kwargs)
        return self.handler(session, self.cls, args)


_installed: dict[str, Any] = {}


def install_functions() -> None:
    """Give every registered class that is loaded its own ``apply``; a second call adds new ones."""
    for name, handler in FUNCTIONS.items():
        module, _, attribute = name.rpartition(".")
        cls = _CLASSES.get(name) or getattr(sys.modules.get(module), attribute, None)
        if cls is not None and name not in _installed:
            _installed[name] = (cls, cls.__dict__.get("apply"))
            cls.apply = _Apply(cls, handler)


def remove_functions() -> None:
    """Put every class back as it was."""
    for cls, before in _installed.values():
        if before is None:
            del cls.apply
        else:
            cls.apply = before
    _installed.clear()
