"""lxt_like: Layer-wise Relevance Propagation for transformers, CNNs and MLPs.

import lxt_like as lxt

ex = lxt.explain("path/or/hub-id", "A gripping, funny film.")
with lxt.patch(model, "attnlrp"): ...
a = lxt.attribute(model, inputs, ledger=True)
"""

from . import composites, demo, methods, nn, rules, targets
from .attribution import Attribution, attribute, audit, plan
from .composites import Assign, Composite
from .errors import LxtError
from .explain import TextExplanation, explain, load, save
from .methods import conditional, integrated_gradients, occlusion, smooth_grad, trace
from .patch import Patch, patch
from .targets import Contrast, Logit, LogProb

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
    "conditional",
    "demo",
    "explain",
    "integrated_gradients",
    "load",
    "methods",
    "nn",
    "occlusion",
    "patch",
    "plan",
    "rules",
    "save",
    "smooth_grad",
    "targets",
    "trace",
]
