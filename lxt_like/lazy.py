"""Names that a package loads when they are asked for: importing it stays cheap."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attach(package: str, where: Mapping[str, str]) -> tuple[Callable[[str], Any], Any]:
    """``__getattr__`` and ``__dir__`` of a package, for the names that it does not hold yet.

    Args:
        package: its ``__name__``.
        where: a relative module -> the names in it, apart by spaces.
    """
    modules = {name: module for module, names in where.items() for name in names.split()}

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(modules[name], package), name)
        setattr(sys.modules[package], name, found)  # once
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return load, names
