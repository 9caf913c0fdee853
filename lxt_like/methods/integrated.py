"""Integrated gradients around any composite."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..attribution import Attribution
from ..composites import Composite
from ..composites import composite as resolve
from ..errors import InputError
from ..numerics import upcast
from .samples import Samples, check_count


def integrated_gradients(
    model: Any,
    inputs: Any,
    target: Any = None,
    composite: str | Composite = "gradient",
    *,
    baseline: float | Tensor = 0.0,
    steps: int = 32,
    batch_size: int = 16,
    strict: bool = True,
) -> Attribution:
    """The modified gradient averaged on the way from a baseline to the input.

    R = (x - b) mean_k g(b + (k - 1/2) / steps (x - b)).  With the plain gradient the sum tends to
    score(x) - score(b); with a composite it is that composite, smoothed along the path.

    Args:
        model, inputs, target, composite, strict: as for :func:`lxt.attribute`; for token ids the
            path runs in the embeddings.  A predicted class is that of the clean input.
        baseline: a number, or a tensor that broadcasts to the (one) explained input.
        steps: points on the path (midpoint rule).
        batch_size: points in one forward.

    Raises:
        InputError: for a baseline that does not fit, and for composites with first-layer rules,
            whose relevance is no gradient.

    Source: Sundararajan et al. 2017, arXiv:1703.01365.
    """
    check_count("steps", steps)
    check_count("batch_size", batch_size)
    if direct := resolve(composite).first_layer:
        raise InputError(f"{direct[0]!r} gives relevance without a gradient: nothing to integrate")
    given = Samples(model, inputs, target, composite, strict)
    starts = {n: _baseline(baseline, given.inputs[n], n) for n in given.names}
    means: dict[str, list[Tensor]] = {name: [] for name in given.names}
    for i in range(len(given)):
        sums: dict[str, Tensor] = {}
        for first in range(0, steps, batch_size):
            rows = min(batch_size, steps - first)
            clean = given.values(i)
            changed = {}
            for n, x in clean.items():
                at = (torch.arange(first, first + rows, dtype=torch.float64) + 0.5) / steps
                at = at.to(x.dtype).to(x.device).reshape(-1, *([1] * (x.dim() - 1)))
                b = starts[n][i : i + 1]
                changed[n] = b + at * (x - b)
            found = given.run(given.copies(i, rows, changed), given.target(i))
            gradient = given.named(found.gradient)
            for n in given.names:
                sums[n] = sums.get(n, 0) + upcast(gradient[n]).sum(0, keepdim=True)
        for n in given.names:
            means[n].append(sums[n] / steps)
    mean = {n: torch.cat(parts) for n, parts in means.items()}
    relevance = {
        n: (upcast(given.inputs[n].detach()) - upcast(starts[n])) * mean[n] for n in given.names
    }
    return given.result(relevance, mean)


def _baseline(baseline: float | Tensor, x: Tensor, name: str) -> Tensor:
    given = torch.as_tensor(baseline, dtype=x.dtype, device=x.device)
    try:
        return torch.broadcast_to(given, x.shape)
    except RuntimeError as e:
        raise InputError(
            f"the baseline of shape {tuple(given.shape)} does not broadcast to "
            f"{name or 'the input'} {tuple(x.shape)}"
        ) from e
