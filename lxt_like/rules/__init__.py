"""The rules: one frozen dataclass each, with its formula, when to use it and its source."""

from .activation import Identity
from .add import Proportional
from .attention import UniformAttention, ValueOnly
from .base import CAUSES, KINDS, Gradient, Rule
from .bilinear import SignalOnly, Uniform
from .linear import Epsilon
from .norm import ConstantScale
from .pooling import WinnerTakesAll
from .softmax import Constant, Taylor

__all__ = [
    "CAUSES",
    "KINDS",
    "Constant",
    "ConstantScale",
    "Epsilon",
    "Gradient",
    "Identity",
    "Proportional",
    "Rule",
    "SignalOnly",
    "Taylor",
    "Uniform",
    "UniformAttention",
    "ValueOnly",
    "WinnerTakesAll",
]
