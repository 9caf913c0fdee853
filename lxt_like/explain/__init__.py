"""Explaining a prediction: inputs as people have them in, explanations they can read out."""

from typing import TYPE_CHECKING

from ..lazy import attach
from .front import explain

if TYPE_CHECKING:
    from .generation import GenerationExplanation, explain_generation
    from .image import ImageExplanation, ImageModel, Preprocess, load_image_model
    from .result import TextExplanation, load, save
else:
    __getattr__, __dir__ = attach(
        __name__,
        {
            ".generation": "GenerationExplanation explain_generation",
            ".image": "ImageExplanation ImageModel Preprocess load_image_model",
            ".result": "TextExplanation load save",
        },
    )

__all__ = [
    "GenerationExplanation",
    "ImageExplanation",
    "ImageModel",
    "Preprocess",
    "TextExplanation",
    "explain",
    "explain_generation",
    "load",
    "load_image_model",
    "save",
]
