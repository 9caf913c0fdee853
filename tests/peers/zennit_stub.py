"""zennit, imported without torchvision, which it needs only for two class names."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import types
from dataclasses import dataclass
from typing import Any

_STUBBED = ("torchvision", "torchvision.models", "torchvision.models.resnet")


@dataclass(frozen=True)
class Zennit:
    """The parts of zennit that are used here."""

    attribution: Any
    canonizers: Any
    composites: Any
    core: Any
    rules: Any
    types: Any


def available() -> bool:
    """Whether zennit is installed."""
    return importlib.util.find_spec("zennit") is not None


@functools.cache
def load() -> Zennit:
    """zennit's modules; ``sys.modules`` is left as it was found.

    Raises:
        ModuleNotFoundError: zennit is not installed.
    """
    names = ("zennit", *_STUBBED)
    found = {n: m for n, m in sys.modules.items() if n.startswith(tuple(names))}
    for name in found:
        del sys.modules[name]
    for name in _STUBBED:
        sys.modules[name] = types.ModuleType(name)
    resnet: Any = sys.modules["torchvision.models.resnet"]
    resnet.Bottleneck = type("Bottleneck", (), {})
    resnet.BasicBlock = type("BasicBlock", (), {})
    try:
        parts = ("attribution", "canonizers", "composites", "core", "rules", "types")
        return Zennit(**{part: importlib.import_module(f"zennit.{part}") for part in parts})
    finally:
        for name in [n for n in sys.modules if n.startswith(tuple(names))]:
            del sys.modules[name]
        sys.modules.update(found)
