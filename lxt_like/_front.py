"""The front door: every public name of :mod:`lxt_like`, imported with all it needs."""

from . import composites, demo, nn, rules, targets
from .attribution import Attribution, attribute, audit, plan
from .composites import Assign, Composite
from .errors import LxtError
from .explain import TextExplanation, explain, load
from .patch import Patch, patch
from .targets import Contrast, Logit, LogProb

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
