"""lxt_like: Layer-wise Relevance Propagation for transformers, CNNs and MLPs.

import lxt_like as lxt

ex = lxt.explain("path/or/hub-id", "A gripping, funny film.")
with lxt.patch(model, "attnlrp"): ...
a = lxt.attribute(model, inputs, ledger=True)

The public names are imported, and torch with them, when the first one is used: so the command
line answers ``--help`` and a mistyped option at once.
"""

# ruff: noqa: F403, F405  (the names are those of _front; a test compares the lists)

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._front import *

__version__ = "0.1.0"

__all__ = [
    "Assign",
    "Attribution",
    "Composite",
    "Contrast",
    "LogProb",
    "Logit",
    "LxtError",
    "Patch",
    "TextExplanation",
    "attribute",
    "audit",
    "composites",
    "demo",
    "explain",
    "load",
    "nn",
    "patch",
    "plan",
    "rules",
    "targets",
]


class _Package(ModuleType):
    """The package; ``lxt.explain`` and ``lxt.patch`` stay functions.

    Importing a module of a package sets it as an attribute of the package: under these two
    names that would hide the public functions.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in ("explain", "patch") and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _front

    found: object = getattr(_front, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
