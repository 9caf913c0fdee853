"""The exceptions of lxt_like: each says what was expected, what came, and what to do."""

from __future__ import annotations


class LxtError(Exception):
    """Base of every error that lxt_like raises on purpose."""


class InputError(LxtError, ValueError):
    """An argument does not fit: wrong type, shape, dtype or value."""


class TargetError(InputError):
    """The target does not exist in this model (unknown class name, index out of range)."""


class SampleTargetError(TargetError):
    """The target does not exist for this sample, but may for others: a word that its text holds
    twice, a foil that is its own prediction.
    """


class ModelError(LxtError):
    """The model cannot be loaded or used: missing files, no labels, no embedding module."""


class NumericalError(LxtError, ArithmeticError):
    """NaN or infinity where a finite number is needed: broken weights or an overflow."""


class RuleError(LxtError):
    """A rule was built with bad arguments or cannot be applied where it was asked for."""


class CompositeError(LxtError):
    """A composite is malformed, unknown, or not usable in this place."""


class UnruledError(LxtError):
    """An operation on the path from the input to the score has no rule (strict mode)."""


class PatchError(LxtError, RuntimeError):
    """A model cannot be patched or restored as asked."""


class RegistryError(LxtError):
    """A handler was registered twice, or for something that is no torch function."""


class RenderError(LxtError):
    """An explanation cannot be written in the requested format."""


class UnruledWarning(UserWarning):
    """strict=False: operations without a rule got the plain gradient."""


class UnreachedWarning(UserWarning):
    """An input was to be explained that does not enter the score differentiably."""


class UnexplainedWarning(UserWarning):
    """Something enters the model that may carry relevance of the inputs and is not explained."""


class BoundsWarning(UserWarning):
    """An input lies outside the bounds that were given for it."""


class TruncationWarning(UserWarning):
    """A text was longer than the model takes and its end was not read."""


class SkippedWarning(UserWarning):
    """on_error="skip": an input that could not be read was left out."""


def one_line(error: BaseException, most: int = 300) -> str:
    """A message for a list or table: on one line, not longer than that, never empty."""
    return " ".join(str(error).split())[:most] or type(error).__name__
