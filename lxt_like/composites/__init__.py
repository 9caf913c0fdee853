"""Composites: which rule applies where."""

from .composite import Assign, Composite, Resolver, Site
from .presets import CPLRP, PRESETS, AttnLRP, EpsilonLRP, Plain, composite

# the public names of DESIGN: lxt.composites.Epsilon(1e-6)
Epsilon = EpsilonLRP

__all__ = [
    "CPLRP",
    "PRESETS",
    "Assign",
    "AttnLRP",
    "Composite",
    "Epsilon",
    "Plain",
    "Resolver",
    "Site",
    "composite",
]
