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
from .presets import CPLRP, PRESETS, AttnLRP, EpsilonLRP, MambaLRP, Plain, composite

# the public names of DESIGN: lxt.composites.Epsilon(1e-6)
Epsilon = EpsilonLRP

__all__ = [
    "CPLRP",
    "PRESETS",
    "Assign",
    "AttnLRP",
    "BetaSmooth",
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
    "MambaLRP",
    "Plain",
    "Resolver",
    "Site",
    "composite",
]
