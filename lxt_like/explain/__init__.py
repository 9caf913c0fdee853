"""Explaining a prediction: inputs as people have them in, explanations they can read out."""

from .result import TextExplanation, load, save
from .text import explain

__all__ = ["TextExplanation", "explain", "load", "save"]
