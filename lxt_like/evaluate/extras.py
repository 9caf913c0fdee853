"""Numbers beside the curves: agreement with people's masks; the slower ones of a thorough run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from .localisation import agreement, unit_masks
from .metrics import mu_fidelity, single_removals, tau_loo
from .removal import Array
from .task import Batch, Task


class Thorough:
    """tau-LOO and mu-fidelity of each sample, for :class:`.Plan`'s ``extras``.

    The losses without each unit alone belong to the batch, not to a method: they are computed
    once for each operator.
    """

    def __init__(self, seed: int = 0, batch_size: int | None = None) -> None:
        self.seed = seed
        self.batch_size = batch_size
        self._batch: Batch | None = None
        self._losses: dict[str, list[Array]] = {}

    def __call__(
        self, task: Task, batch: Batch, scores: Sequence[Tensor], operator: str
    ) -> list[Mapping[str, float]]:
        if batch is not self._batch:
            self._batch, self._losses = batch, {}
        if operator not in self._losses:
            self._losses[operator] = single_removals(task, batch, operator, self.batch_size)
        tau = tau_loo(self._losses[operator], scores)
        mu = mu_fidelity(task, batch, scores, operator, seed=self.seed, batch_size=self.batch_size)
        return [{"tau_loo": t, "mu_fidelity": m} for t, m in zip(tau, mu, strict=True)]


class Marked:
    """Localisation and plausibility of the samples that come with a mask, and of no others."""

    def __call__(
        self, task: Task, batch: Batch, scores: Sequence[Tensor], operator: str
    ) -> list[Mapping[str, float]]:
        return [
            {} if mask is None else agreement(values.cpu().numpy(), mask)
            for values, mask in zip(scores, unit_masks(task, batch), strict=True)
        ]
