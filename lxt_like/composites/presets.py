"""The presets: composites by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..errors import CompositeError
from ..rules import (
    Constant,
    ConstantScale,
    Epsilon,
    Gradient,
    Hold,
    Identity,
    Proportional,
    SignalOnly,
    Taylor,
    Uniform,
    UniformAttention,
    ValueOnly,
    WinnerTakesAll,
)
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
from .composite import Assign, Composite
from .vision import AttnLRPGamma, AttnLRPGammaBox, CPLRPGamma, CPLRPGammaBox

_COMMON = (ConstantScale(), Identity(), WinnerTakesAll(), Proportional())


def AttnLRP(eps: float = 0.0) -> Composite:  # noqa: N802  (composites read as types)
    """AttnLRP (Achtibat et al. 2024): the default for transformers.

    Uniform rule at products, Taylor rule at softmax, constant norm scales, identity at
    activations, epsilon = ``eps`` at linear operations (0 saves their outputs' memory).
    """
    rules = (Epsilon(eps), Uniform(), UniformAttention(), Taylor(), *_COMMON)
    return Composite(rules, name="attnlrp" if eps == 0 else None)


def CPLRP(eps: float = 0.0) -> Composite:  # noqa: N802
    """CP-LRP (Ali et al. 2022): attention weights and gates constant; conserves exactly."""
    rules = (Epsilon(eps), SignalOnly(), ValueOnly(), Constant(), *_COMMON)
    return Composite(rules, name="cp_lrp" if eps == 0 else None)


def Plain() -> Composite:  # noqa: N802
    """No rule anywhere: gradient x input, the baseline."""
    return Composite((Gradient(),), name="gradient")


def EpsilonLRP(eps: float = 1e-6) -> Composite:  # noqa: N802
    """LRP-epsilon at every linear operation (Bach et al. 2015), AttnLRP's rules elsewhere."""
    rules = (Epsilon(eps), Uniform(), UniformAttention(), Taylor(), *_COMMON)
    return Composite(rules, name="epsilon" if eps == 1e-6 else None)


def MambaLRP() -> Composite:  # noqa: N802
    """AttnLRP for state-space models, their selection parameters held constant.

    Step, B and C of Mamba, Falcon-Mamba and Jamba come from one layer, ``x_proj``; the gate keeps
    its half (Jafari et al. 2024, arXiv:2406.07592).  Mamba-2 computes them together with its
    signal: there B and C stay signals, as linear attention's queries and keys.
    """
    held = Assign(Hold(), name="*.x_proj")
    return Composite((*AttnLRP().assignments, held), name="mamba_lrp")


PRESETS: dict[str, Callable[[], Composite]] = {
    "attnlrp": AttnLRP,
    "cp_lrp": CPLRP,
    "mamba_lrp": MambaLRP,
    "gradient": Plain,
    "epsilon": EpsilonLRP,
    "attnlrp_gamma": AttnLRPGamma,
    "attnlrp_gamma_box": AttnLRPGammaBox,
    "cp_lrp_gamma": CPLRPGamma,
    "cp_lrp_gamma_box": CPLRPGammaBox,
    "epsilon_plus": EpsilonPlus,
    "epsilon_plus_flat": EpsilonPlusFlat,
    "epsilon_plus_ratio": EpsilonPlusRatio,
    "epsilon_alpha2_beta1": EpsilonAlpha2Beta1,
    "epsilon_alpha2_beta1_flat": EpsilonAlpha2Beta1Flat,
    "epsilon_gamma_box": EpsilonGammaBox,
    "excitation_backprop": ExcitationBackprop,
    "deconvnet": Deconvnet,
    "guided_backprop": GuidedBackprop,
    "beta_smooth": BetaSmooth,
}


BOXED: dict[str, Callable[..., Composite]] = {
    "attnlrp_gamma_box": AttnLRPGammaBox,
    "cp_lrp_gamma_box": CPLRPGammaBox,
    "epsilon_gamma_box": EpsilonGammaBox,
}
"""Presets that take the bounds of the pixels: ``low`` and ``high``."""


@cache
def _made(preset: Callable[[], Composite]) -> Composite:
    return preset()  # immutable: one is enough


def composite(given: str | Composite) -> Composite:
    """A preset by name, or the composite itself.

    Raises:
        CompositeError: for an unknown name (the message lists the known ones) or type.
    """
    if isinstance(given, Composite):
        return given
    if isinstance(given, str):
        if given in PRESETS:
            return _made(PRESETS[given])
        raise CompositeError(
            f"unknown composite {given!r}; the presets are {', '.join(PRESETS)}; "
            "or give a lxt.Composite"
        )
    if callable(given):
        raise CompositeError(
            f"a composite is a preset's name or a lxt.Composite, got the function "
            f"{getattr(given, '__name__', given)}: call it"
        )
    raise CompositeError(
        f"a composite is a preset's name or a lxt.Composite, got {type(given).__name__}"
    )
