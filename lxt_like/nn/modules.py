"""torch's modules with the rules built in, for models of your own that need no patching.

Each is torch's own module: the same parameters, ``state_dict`` keys and forward values; only the
backward follows its composite, so that ``activation * grad`` is relevance.  Inside ``lxt.patch``
the patch's composite applies instead.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..composites import Composite
from ..composites import composite as resolve
from ..intercept import Session, active, begin, interceptor


class Ruled(nn.Module):
    """Mixin: the forward of the next class runs under ``composite``.

    Set ``module.composite`` to another preset's name or :class:`lxt.Composite` at any time.
    """

    composite: str | Composite = "attnlrp"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """torch's forward, with the gradients of the module's composite."""
        return under(self.composite, super().forward, *args, **kwargs)


def under(composite: str | Composite, function: Any, *args: Any, **kwargs: Any) -> Any:
    """``function(*args, **kwargs)`` with the operations in it under ``composite``.

    What requires grad among the arguments is explained, wherever it comes from, unless it is a
    parameter.  An enclosing patch, or an enclosing call of this function, wins.
    """
    if interceptor().session is not None:
        return function(*args, **kwargs)
    session = Session(resolve(composite))
    session.stack.append(("", ()))
    begin(session, (args, kwargs), torch.is_grad_enabled())
    try:
        with active(session):
            return function(*args, **kwargs)
    finally:
        session.explained.held.clear()


class LayerNorm(Ruled, nn.LayerNorm):
    """``torch.nn.LayerNorm`` with the scale held constant."""


class RMSNorm(Ruled, nn.RMSNorm):
    """``torch.nn.RMSNorm`` with the scale held constant."""


class GroupNorm(Ruled, nn.GroupNorm):
    """``torch.nn.GroupNorm`` with the scale held constant."""


class Softmax(Ruled, nn.Softmax):
    """``torch.nn.Softmax``: the Taylor rule under AttnLRP, constant weights under CP-LRP."""


class GELU(Ruled, nn.GELU):
    """``torch.nn.GELU`` with the identity rule."""


class SiLU(Ruled, nn.SiLU):
    """``torch.nn.SiLU`` with the identity rule."""


class ReLU(Ruled, nn.ReLU):
    """``torch.nn.ReLU``; its gradient is the identity rule already."""


class Tanh(Ruled, nn.Tanh):
    """``torch.nn.Tanh`` with the identity rule."""


class Sigmoid(Ruled, nn.Sigmoid):
    """``torch.nn.Sigmoid`` with the identity rule; its offset 1/2 is a bias."""


class Softplus(Ruled, nn.Softplus):
    """``torch.nn.Softplus`` with the identity rule; its offset log(2) / beta is a bias."""


class ELU(Ruled, nn.ELU):
    """``torch.nn.ELU`` with the identity rule."""


class Mish(Ruled, nn.Mish):
    """``torch.nn.Mish`` with the identity rule."""


class Linear(Ruled, nn.Linear):
    """``torch.nn.Linear`` with the epsilon rule of its composite."""


class MultiheadAttention(Ruled, nn.MultiheadAttention):
    """``torch.nn.MultiheadAttention`` with the attention rule of its composite."""


class GatedMLP(nn.Module):
    """down(act(gate(x)) * up(x)): the gated MLP of Llama and its kin.

    Parameters ``gate_proj``, ``up_proj``, ``down_proj`` as there.  Under AttnLRP half of the
    product's relevance goes to the gate and half to ``up``; under CP-LRP all goes to ``up``.

    Args:
        hidden_size, intermediate_size: widths.
        bias: whether the three projections have one.
        act: an activation module; default SiLU.
    """

    composite: str | Composite = "attnlrp"

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        bias: bool = False,
        act: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=bias)
        self.act_fn = nn.SiLU() if act is None else act

    def forward(self, x: Tensor) -> Tensor:
        """x [..., hidden_size] -> [..., hidden_size]."""
        out: Tensor = under(self.composite, self._mlp, x)
        return out

    def _mlp(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))
        return out


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    composite: str | Composite = "attnlrp",
) -> Tensor:
    """``F.scaled_dot_product_attention`` with the attention rule of ``composite``.

    query [..., T, d], key [..., S, d], value [..., S, e] -> [..., T, e]; any fused kernel.
    """
    out: Tensor = under(
        composite,
        F.scaled_dot_product_attention,
        query,
        key,
        value,
        attn_mask,
        dropout_p,
        is_causal,
        scale=scale,
        enable_gqa=enable_gqa,
    )
    return out
