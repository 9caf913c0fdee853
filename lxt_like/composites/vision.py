"""Composites for vision transformers: gamma where pixels and patches are mixed."""

from __future__ import annotations

from torch import Tensor

from ..rules import (
    Constant,
    ConstantScale,
    Epsilon,
    Gamma,
    Identity,
    Proportional,
    Rule,
    SignalOnly,
    Taylor,
    Uniform,
    UniformAttention,
    ValueOnly,
    WinnerTakesAll,
    ZBox,
)
from .composite import Assign, Composite

_ATTENTION: dict[str, tuple[Rule, ...]] = {
    "attnlrp": (Uniform(), UniformAttention(), Taylor()),
    "cp_lrp": (SignalOnly(), ValueOnly(), Constant()),
}
_COMMON = (ConstantScale(), Identity(), WinnerTakesAll(), Proportional())
_LINEAR, _CONV = 0.05, 0.25
"""By measurement on the bundled model: scripts/choose_gammas.py, docs/evaluation.md."""


def _made(attention: str, linear: float, conv: float, box: ZBox | None = None) -> Composite:
    """With the preset's name, if the arguments are the preset's."""
    rules: list[Rule | Assign] = [
        *_ATTENTION[attention],
        *_COMMON,
        Gamma(linear) if linear else Epsilon(0.0),
        Assign(Gamma(conv) if conv else Epsilon(0.0), kind="conv"),
    ]
    name = f"{attention}_gamma"
    default = (linear, conv) == (_LINEAR, _CONV)
    if box is not None:
        rules.append(Assign(box, kind="linear", where="first"))
        name, default = f"{name}_box", default and box == ZBox(-3.0, 3.0)
    return Composite(rules, name=name if default else None)


def AttnLRPGamma(linear: float = _LINEAR, conv: float = _CONV) -> Composite:  # noqa: N802
    """AttnLRP's attention; gamma at linear operations, and (another) at convolutions."""
    return _made("attnlrp", linear, conv)


def CPLRPGamma(linear: float = _LINEAR, conv: float = _CONV) -> Composite:  # noqa: N802
    """CP-LRP's attention (its weights constant), otherwise as :func:`AttnLRPGamma`."""
    return _made("cp_lrp", linear, conv)


def AttnLRPGammaBox(  # noqa: N802
    low: float | Tensor = -3.0,
    high: float | Tensor = 3.0,
    linear: float = _LINEAR,
    conv: float = _CONV,
) -> Composite:
    """AttnLRPGamma with the z-box rule at the first linear operation, which reads the pixels.

    ``low``, ``high``: bounds of the pixels as the model takes them (normalised): numbers, or
    tensors [3, 1, 1].  ``lxt.explain`` finds them by itself where the preset is given by name.
    """
    return _made("attnlrp", linear, conv, ZBox(low, high))


def CPLRPGammaBox(  # noqa: N802
    low: float | Tensor = -3.0,
    high: float | Tensor = 3.0,
    linear: float = _LINEAR,
    conv: float = _CONV,
) -> Composite:
    """CPLRPGamma with the z-box rule at the pixels, as :func:`AttnLRPGammaBox`."""
    return _made("cp_lrp", linear, conv, ZBox(low, high))
