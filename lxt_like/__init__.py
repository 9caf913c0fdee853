"""lxt_like: Layer-wise Relevance Propagation for transformers, CNNs and MLPs.

import lxt_like as lxt

ex = lxt.explain("path/or/hub-id", "A gripping, funny film.")
ex = lxt.explain("path/or/hub-id", "photo.jpg")
ex = lxt.explain_generation("path/or/hub-id", "Once upon a time")
with lxt.patch(model, "attnlrp"): ...
a = lxt.attribute(model, inputs, ledger=True)
"""

from typing import TYPE_CHECKING

from . import composites, demo, methods, nn, rules, targets
from .attribution import Attribution, attribute, audit, plan
from .composites import Assign, Composite
from .errors import LxtError
from .evaluate import evaluate
from .explain import explain
from .lazy import attach
from .methods import conditional, integrated_gradients, occlusion, smooth_grad, trace
from .patch import Patch, patch, restore
from .targets import Contrast, Logit, LogOdds, LogProb

if TYPE_CHECKING:
    from .evaluate import Report, Tuned, tune
    from .explain import (
        GenerationExplanation,
        ImageExplanation,
        ImageModel,
        Preprocess,
        TextExplanation,
        explain_generation,
        load,
        load_image_model,
        save,
    )
else:
    __getattr__, __dir__ = attach(
        __name__,
        {
            ".evaluate": "Report Tuned tune",
            ".explain": "ImageExplanation ImageModel Preprocess TextExplanation",
            ".explain.generation": "GenerationExplanation explain_generation",
            ".explain.image": "load_image_model",
            ".explain.result": "load save",
        },
    )

__version__ = "0.1.0"

__all__ = [
    "Assign",
    "Attribution",
    "Composite",
    "Contrast",
    "GenerationExplanation",
    "ImageExplanation",
    "ImageModel",
    "LogOdds",
    "LogProb",
    "Logit",
    "LxtError",
    "Patch",
    "Preprocess",
    "Report",
    "TextExplanation",
    "Tuned",
    "attribute",
    "audit",
    "composites",
    "conditional",
    "demo",
    "evaluate",
    "explain",
    "explain_generation",
    "integrated_gradients",
    "load",
    "load_image_model",
    "methods",
    "nn",
    "occlusion",
    "patch",
    "plan",
    "restore",
    "rules",
    "save",
    "smooth_grad",
    "targets",
    "trace",
    "tune",
]
