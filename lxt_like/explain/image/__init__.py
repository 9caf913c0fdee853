"""Explaining what an image classifier saw: pixels, patches, and the account of the score."""

from .grid import Grid
from .model import ImageModel, is_image_model, load_image_model
from .open import Opened, open_image
from .prepared import Prepared, prepare
from .processing import Preprocess
from .result import ImageExplanation
from .run import explain_image

__all__ = [
    "Grid",
    "ImageExplanation",
    "ImageModel",
    "Opened",
    "Prepared",
    "Preprocess",
    "explain_image",
    "is_image_model",
    "load_image_model",
    "open_image",
    "prepare",
]
