"""Explaining a whole generated text: each of its tokens, by the prompt and what came before it."""

from .result import GenerationExplanation, WordMatrix
from .run import explain_generation

__all__ = ["GenerationExplanation", "WordMatrix", "explain_generation"]
