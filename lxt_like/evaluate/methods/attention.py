"""What attention weights alone say: raw, rolled out over layers, weighted by their gradients.

All three read a row of a matrix [tokens, tokens]: that of the token the model's answer is read
from, and the mean of several where the model pools tokens.  Which ones shows in the gradient at the
last attention: a token that nothing reads has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import LxtError, one_line
from ...explain.batches import evaluation_mode
from ..task import Batch, Task, pool_by
from .gradients import trimmed
from .observed import Attentions
from .types import Scores, UnsuitableError

Combine = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]
"""From weights and their gradients, [heads, tokens, tokens] a layer, to [tokens, tokens]."""


def raw(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """The last layer's weights, the mean over heads."""
    return weights[-1].mean(0)


def rollout(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """The product over layers of (A + 1) / 2 with A the mean over heads, for the skip connection.

    Source: Abnar and Zuidema 2020, arXiv:2005.00928.
    """
    found = torch.eye(weights[0].shape[-1], dtype=weights[0].dtype, device=weights[0].device)
    for a in weights:
        found = (a.mean(0) @ found + found) / 2
    return found


def chefer(weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """R <- R + mean_h((dy/dA * A)+) R, from the identity; the identity itself is left out.

    Rules 5 and 6 for self-attention.  Source: Chefer et al. 2021, arXiv:2103.15679.
    """
    start = torch.eye(weights[0].shape[-1], dtype=weights[0].dtype, device=weights[0].device)
    found = start
    for a, g in zip(weights, gradients, strict=True):
        found = found + (a * g).clamp_min(0).mean(0) @ found
    return found - start


@dataclass(frozen=True)
class Attention:
    """A map of attention, one sample at a time, so that no padding is attended to."""

    combine: Combine
    gradients: bool = False

    def __call__(self, task: Task, batch: Batch) -> list[Tensor]:
        return [self._one(task, trimmed(batch.select([i]))) for i in range(len(batch))]

    def _one(self, task: Task, one: Batch) -> Tensor:
        tokens = int(one.lengths[0])
        seen = Attentions(tokens)
        with evaluation_mode(task.model), torch.inference_mode(False), torch.enable_grad():
            with seen:
                logits = task.logits({n: v.clone() for n, v in one.inputs.items()})
            if not seen.weights:
                raise UnsuitableError("no attention over all of the model's tokens was seen")
            wanted = seen.weights if self.gradients else seen.weights[-1:]
            score = logits[0, one.targets[0]]
            slopes = [g[0] for g in torch.autograd.grad(score, wanted)]
        weights = [w[0].detach() for w in seen.weights]
        read = slopes[-1].abs().amax((0, 2)) > 0
        matrix = self.combine(weights, slopes)
        # a gradient of 0 for all says nothing
        return _units(task, one, matrix[read].mean(0) if bool(read.any()) else matrix.mean(0))


def _units(task: Task, one: Batch, row: Tensor) -> Tensor:
    if task.kind == "image":
        row = row[task.prefix :]
    return pool_by(one.member, row[None], one.units)[0]


def make_attention(combine: Combine, gradients: bool = False) -> Callable[[Task, int], Scores]:
    """A factory for the registry."""
    return _Make(Attention(combine, gradients))


@dataclass(frozen=True)
class _Make:
    method: Attention

    def __call__(self, task: Task, seed: int) -> Scores:
        if task.kind == "image" and not task.tokens:
            raise UnsuitableError("the model's tokens are not the patches of the grid")
        try:
            self.method(task, task.probe())
        except (LxtError, RuntimeError) as error:
            raise UnsuitableError(one_line(error)) from error
        return self.method
