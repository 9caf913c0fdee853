"""The classical composites for CNNs and MLPs.

``stabilizer`` is that of the rules whose denominators are sums of one sign; they need none, so it
is 0 unless another library's numbers are to be met.
"""

from __future__ import annotations

from torch import Tensor

from .. import rules
from ..rules import (
    AlphaBeta,
    ConstantScale,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    Identity,
    Proportional,
    Ratio,
    Rule,
    Taylor,
    Uniform,
    UniformAttention,
    WinnerTakesAll,
    ZBox,
    ZPlus,
)
from .composite import Assign, Composite

# attention, should there be any, as in AttnLRP
_COMMON = (
    *(Uniform(), UniformAttention(), Taylor()),
    *(ConstantScale(), Identity(), WinnerTakesAll(), Proportional()),
)


def _made(name: str, default: bool, *rules: Assign | Rule) -> Composite:
    """With the preset's name, if the arguments are the preset's."""
    return Composite((*_COMMON, *rules), name=name if default else None)


def _first(rule: Rule) -> Assign:
    return Assign(rule, kind="linear", where="first")


def EpsilonPlus(eps: float = 1e-6, stabilizer: float = 0.0) -> Composite:  # noqa: N802
    """z+ at convolutions, epsilon at dense layers."""
    default = (eps, stabilizer) == (1e-6, 0)
    return _made("epsilon_plus", default, Epsilon(eps), Assign(ZPlus(stabilizer), kind="conv"))


def EpsilonPlusFlat(eps: float = 1e-6, stabilizer: float = 0.0) -> Composite:  # noqa: N802
    """EpsilonPlus, with the flat rule at the first linear operation."""
    default = (eps, stabilizer) == (1e-6, 0)
    plus = Assign(ZPlus(stabilizer), kind="conv")
    return _made("epsilon_plus_flat", default, Epsilon(eps), plus, _first(Flat(stabilizer)))


def EpsilonAlpha2Beta1(eps: float = 1e-6, stabilizer: float = 0.0) -> Composite:  # noqa: N802
    """alpha 2, beta 1 at convolutions, epsilon at dense layers."""
    default = (eps, stabilizer) == (1e-6, 0)
    split = Assign(AlphaBeta(2.0, 1.0, stabilizer), kind="conv")
    return _made("epsilon_alpha2_beta1", default, Epsilon(eps), split)


def EpsilonAlpha2Beta1Flat(eps: float = 1e-6, stabilizer: float = 0.0) -> Composite:  # noqa: N802
    """EpsilonAlpha2Beta1, with the flat rule at the first linear operation."""
    default = (eps, stabilizer) == (1e-6, 0)
    split = Assign(AlphaBeta(2.0, 1.0, stabilizer), kind="conv")
    return _made(
        "epsilon_alpha2_beta1_flat", default, Epsilon(eps), split, _first(Flat(stabilizer))
    )


def EpsilonGammaBox(  # noqa: N802
    low: float | Tensor = -3.0,
    high: float | Tensor = 3.0,
    eps: float = 1e-6,
    gamma: float = 0.25,
    stabilizer: float = 0.0,
) -> Composite:
    """gamma at convolutions, epsilon at dense layers, z-box at the first linear operation.

    ``low``, ``high``: bounds of the input as the model takes it (normalised): numbers, or tensors
    that broadcast to it, such as [C, 1, 1].
    """
    box = ZBox(low, high, stabilizer)
    default = box == ZBox(-3.0, 3.0) and (eps, gamma) == (1e-6, 0.25)
    middle = Assign(Gamma(gamma, stabilizer), kind="conv")
    return _made("epsilon_gamma_box", default, Epsilon(eps), middle, _first(box))


def ExcitationBackprop(stabilizer: float = 0.0) -> Composite:  # noqa: N802
    """z+ without biases at every linear operation (Zhang et al. 2016)."""
    return _made("excitation_backprop", stabilizer == 0, ZPlus(stabilizer, zero_bias=True))


def EpsilonPlusRatio(eps: float = 1e-6, stabilizer: float = 0.0) -> Composite:  # noqa: N802
    """EpsilonPlus for residual networks: sums split by their addends' sizes, no blow-up."""
    default = (eps, stabilizer) == (1e-6, 0)
    plus = Assign(ZPlus(stabilizer), kind="conv")
    return _made("epsilon_plus_ratio", default, Epsilon(eps), plus, Ratio())


def Deconvnet() -> Composite:  # noqa: N802
    """The deconvolutional network's gradient (Zeiler and Fergus 2014); it does not conserve."""
    return Composite((Gradient(), rules.Deconvnet()), name="deconvnet")


def GuidedBackprop() -> Composite:  # noqa: N802
    """Guided backpropagation (Springenberg et al. 2015); it does not conserve."""
    return Composite((Gradient(), rules.GuidedBackprop()), name="guided_backprop")


def BetaSmooth(beta: float = 10.0) -> Composite:  # noqa: N802
    """The gradient with smoothed rectifiers (Dombrowski et al. 2019); it does not conserve."""
    name = "beta_smooth" if beta == 10 else None
    return Composite((Gradient(), rules.BetaSmooth(beta)), name=name)
