"""Networks to compare on, and relevance as zennit computes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.support import random

from .zennit_stub import Zennit

TINY = 1e-12
"""The epsilon and the stabilizer of both libraries where their formulas are compared."""


def drawn(model: nn.Module, gain: float = 1.0) -> nn.Module:
    """``model`` in float64 and eval mode; He-scaled weights, biases that matter."""
    model = model.double().eval()
    for i, (name, p) in enumerate(model.named_parameters()):
        scale = 0.3 if p.dim() < 2 or "bias" in name else (2.0 / p[0].numel()) ** 0.5
        p.requires_grad_(False).copy_(gain * scale * random(*p.shape, seed=i))
    return model


def plain_net() -> nn.Module:
    """Convolutions, rectifiers, both poolings, dense layers; everything a module of its own."""
    return drawn(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(48, 20),
            nn.ReLU(),
            nn.Linear(20, 5),
        )
    )


def images(batch: int = 3) -> Tensor:
    """[batch, 3, 8, 8], standard normal."""
    return random(batch, 3, 8, 8, seed=1)


def zennit_relevance(
    zennit: Zennit, composite: Any, model: nn.Module, x: Tensor, target: Tensor, seed: bool = False
) -> Tensor:
    """zennit's attribution at x of the target logits.

    ``seed``: start with 1 instead of the logit, for composites that modify gradients.
    """

    def start(logits: Tensor) -> Tensor:
        hot = torch.zeros_like(logits).scatter_(-1, target[:, None], 1.0)
        return hot if seed else hot * logits.detach()

    with zennit.attribution.Gradient(model, composite) as attribute:
        found: Tensor = attribute(x.clone().requires_grad_(), start)[1]
    return found


def off(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    ours, theirs = ours.detach().double(), theirs.detach().double()
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0
    return float((ours - theirs).abs().max() / theirs.abs().max())
