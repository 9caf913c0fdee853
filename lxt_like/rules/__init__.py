"""The rules: one frozen dataclass each, with its formula, when to use it and its source."""

from .activation import Identity, Pass
from .add import Proportional, Ratio
from .attention import UniformAttention, ValueOnly
from .base import CAUSES, KINDS, Gradient, Rule
from .bilinear import SignalOnly, Uniform
from .first import Bound as Bound
from .first import Flat, WSquare, ZBox
from .hold import Hold
from .linear import Epsilon, Zero
from .norm import ConstantScale
from .pooling import WinnerTakesAll
from .rectifier import BetaSmooth, Deconvnet, GuidedBackprop
from .signed import AlphaBeta, ClassicGamma, Gamma, ZPlus
from .softmax import Constant, Taylor

__all__ = [
    "CAUSES",
    "KINDS",
    "AlphaBeta",
    "BetaSmooth",
    "ClassicGamma",
    "Constant",
    "ConstantScale",
    "Deconvnet",
    "Epsilon",
    "Flat",
    "Gamma",
    "Gradient",
    "GuidedBackprop",
    "Hold",
    "Identity",
    "Pass",
    "Proportional",
    "Ratio",
    "Rule",
    "SignalOnly",
    "Taylor",
    "Uniform",
    "UniformAttention",
    "ValueOnly",
    "WSquare",
    "WinnerTakesAll",
    "ZBox",
    "ZPlus",
    "Zero",
]
