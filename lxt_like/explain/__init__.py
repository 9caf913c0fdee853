"""Explaining a prediction: inputs as people have them in, explanations they can read out."""

from .front import explain
from .image import ImageExplanation, ImageModel, Preprocess, load_image_model
from .result import TextExplanation, load, save

__all__ = [
    "ImageExplanation",
    "ImageModel",
    "Preprocess",
    "TextExplanation",
    "explain",
    "load",
    "load_image_model",
    "save",
]
