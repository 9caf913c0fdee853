"""Composites: which rule applies where."""

from .classical import (
    BetaSmooth,
    Deconvnet,
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    EpsilonPlusRatio,
    ExcitationBackprop,
    GuidedBackprop,
)
from .composite import Assign, Composite, Resolver, Site
from .presets import BOXED, CPLRP, PRESETS, AttnLRP, EpsilonLRP, Plain, composite
from .vision import AttnLRPGamma, AttnLRPGammaBox, CPLRPGamma, CPLRPGammaBox

# the public names of DESIGN: lxt.composites.Epsilon(1e-6)
Epsilon = EpsilonLRP

__all__ = [
    "BOXED",
    "CPLRP",
    "PRESETS",
    "Assign",
    "AttnLRP",
    "AttnLRPGamma",
    "AttnLRPGammaBox",
    "BetaSmooth",
    "CPLRPGamma",
    "CPLRPGammaBox",
    "Composite",
    "Deconvnet",
    "Epsilon",
    "EpsilonAlpha2Beta1",
    "EpsilonAlpha2Beta1Flat",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonPlusFlat",
    "EpsilonPlusRatio",
    "ExcitationBackprop",
    "GuidedBackprop",
    "Plain",
    "Resolver",
    "Site",
    "composite",
]
