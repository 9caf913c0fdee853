"""Scores that do not look at the model: what every method must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..removal import draw
from ..task import Batch, Task
from .types import Scores


@dataclass(frozen=True)
class Random:
    """Uniform random scores, drawn by the seed and the sample's id."""

    seed: int = 0

    def __call__(self, task: Task, batch: Batch) -> list[Tensor]:
        # another stream than the one that breaks ties
        return [
            torch.from_numpy(draw(f"random {row.id}", self.seed).random(n)).float()
            for row, n in zip(batch.rows, batch.units, strict=True)
        ]


@dataclass(frozen=True)
class Centre:
    """The nearer to the middle of the picture (or of the text), the higher."""

    def __call__(self, task: Task, batch: Batch) -> list[Tensor]:
        if task.kind != "image":
            return [-_offsets(n).abs() for n in batch.units]
        image: Any = task
        grid = image.grid(batch.inputs["pixels"])
        down, right = _offsets(grid.rows), _offsets(grid.cols)
        score = -(down[:, None] ** 2 + right[None] ** 2).flatten()
        return [score.clone() for _ in batch.units]


def _offsets(n: int) -> Tensor:
    """Distances from the middle, -1/2 to 1/2."""
    return (torch.arange(n) + 0.5) / max(1, n) - 0.5


def make_random(task: Task, seed: int) -> Scores:
    return Random(seed)


def make_centre(task: Task, seed: int) -> Scores:
    return Centre()
