"""SmoothGrad around any composite."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..attribution import Attribution
from ..composites import Composite
from ..errors import InputError
from ..numerics import upcast
from .samples import Samples, check_count, straight


def smooth_grad(
    model: Any,
    inputs: Any,
    target: Any = None,
    composite: str | Composite = "gradient",
    *,
    samples: int = 20,
    noise: float = 0.1,
    seed: int = 0,
    batch_size: int = 16,
    strict: bool = True,
) -> Attribution:
    """The modified gradient averaged over noisy copies of the input, times the input.

    R = x mean_k g(x + e_k) with e_k ~ N(0, (noise (max x - min x))^2), sample by sample.  What
    first-layer rules (z-box, w^2, flat) give without a gradient is averaged as it is.

    Args:
        model, inputs, target, composite, strict: as for :func:`lxt.attribute`; token ids are
            noised at their embeddings.  A predicted class is that of the clean input.
        samples: noisy copies.
        noise: standard deviation as a share of each sample's range.
        seed: of the noise; the same seed gives a sample the same noise in any batch, whatever
            ``batch_size``.
        batch_size: copies in one forward.

    Returns:
        ``relevance`` and ``gradient`` averaged; ``score``, ``target`` and ``output`` are those of
        the clean input.

    Source: Smilkov et al. 2017, arXiv:1706.03825.
    """
    check_count("samples", samples)
    check_count("batch_size", batch_size)
    if not 0 <= noise < float("inf"):
        raise InputError(f"noise must be a number >= 0, got {noise!r}")
    given = Samples(model, inputs, target, composite, strict)
    generators: dict[str, torch.Generator] = {}

    def noisy(name: str, x: Tensor) -> Tensor:
        # copy by copy: one call for several draws other numbers
        drawn = torch.stack(
            [torch.randn(c.shape, generator=generators[name], dtype=torch.float32) for c in x]
        )
        scale = noise * (x[0].max() - x[0].min())
        return x + (drawn.to(x.device) * scale).to(x.dtype)

    gradients: dict[str, list[Tensor]] = {name: [] for name in given.names}
    direct: dict[str, list[Tensor]] = {name: [] for name in given.names}
    for i in range(len(given)):
        # from the start for each sample, so that it gets its numbers in any batch
        for n, name in enumerate(sorted(given.names)):
            generators[name] = torch.Generator().manual_seed(seed + n)
        sums: dict[str, Tensor] = {}
        rests: dict[str, Tensor] = {}
        for x, g, r in given.attributions(i, samples, noisy, batch_size):
            for name in given.names:
                sums[name] = sums.get(name, 0) + upcast(g[name]).sum(0, keepdim=True)
                rest = straight(x[name], g[name], r[name]).sum(0, keepdim=True)
                rests[name] = rests.get(name, 0) + rest
        for name in given.names:
            gradients[name].append(sums[name] / samples)
            direct[name].append(rests[name] / samples)
    mean = {n: torch.cat(parts) for n, parts in gradients.items()}
    clean = {n: upcast(given.inputs[n].detach()) for n in given.names}
    relevance = {n: clean[n] * mean[n] + torch.cat(direct[n]) for n in given.names}
    return given.result(relevance, mean)
