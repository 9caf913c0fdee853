"""One or several (modified) backwards: LRP composites, gradients, averages of them, occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...attribution import attribute
from ...composites import Composite
from ...composites import composite as resolve
from ...errors import LxtError, one_line
from ...explain.batches import evaluation_mode
from ...methods import integrated_gradients, smooth_grad
from ..metrics import single_removals
from ..task import Batch, Task, take
from .types import Scores, UnsuitableError


@dataclass(frozen=True)
class Relevance:
    """LRP by a composite: the relevance of a unit is the sum over its tokens or pixels."""

    composite: Composite

    def __call__(self, task: Task, batch: Batch) -> list[Tensor]:
        found: list[Tensor] = []
        with evaluation_mode(task.model):
            for part in _parts(task, batch):
                a = attribute(
                    task.model, task.call(part.inputs), part.targets, self.composite, strict=False
                )
                found += task.pool(part, _relevance(a.relevance))
        return found


@dataclass(frozen=True)
class Integrated:
    """Integrated gradients from the zero input."""

    steps: int = 20

    def __call__(self, task: Task, batch: Batch) -> list[Tensor]:
        return _averaged(task, batch, integrated_gradients, steps=self.steps)


@dataclass(frozen=True)
class Smooth:
    """SmoothGrad times the input."""

    samples: int = 20
    seed: int = 0

    def __call__(self, task: Task, batch: Batch) -> list[Tensor]:
        return _averaged(task, batch, smooth_grad, samples=self.samples, seed=self.seed)


@dataclass(frozen=True)
class Occlusion:
    """What the logit loses without each unit alone, by one of the task's operators."""

    operator: str

    def __call__(self, task: Task, batch: Batch) -> list[Tensor]:
        return [torch.from_numpy(v).float() for v in single_removals(task, batch, self.operator)]


def make_composite(task: Task, given: str | Composite) -> Scores:
    """LRP by ``given``, if the model can be explained with it at all."""
    return _tried(task, Relevance(_resolved(task, given)))


def _resolved(task: Task, given: str | Composite) -> Composite:
    """A preset with a box gets the bounds of an image model's pixels, as in ``lxt.explain``."""
    image = getattr(task, "image", None)
    if image is None:
        return resolve(given)
    from ...explain.image.run import boxed

    return boxed(given, image.preprocess)[0]


def make_integrated(task: Task, seed: int) -> Scores:
    return _tried(task, Integrated())


def make_integrated_fine(task: Task, seed: int) -> Scores:
    return _tried(task, Integrated(50))


def make_smooth(task: Task, seed: int) -> Scores:
    return _tried(task, Smooth(seed=seed))


def make_occlusion(task: Task, seed: int) -> Scores:
    return Occlusion(next(iter(task.operators)))


def _tried(task: Task, made: Scores) -> Scores:
    """``made``, after one plain sample has shown that the model can do it."""
    try:
        made(task, task.probe())
    except (LxtError, TypeError, RuntimeError) as error:
        # models that take no inputs_embeds, or compute without a graph, raise any of these
        raise UnsuitableError(one_line(error)) from error
    return made


def _averaged(task: Task, batch: Batch, method: Any, **options: Any) -> list[Tensor]:
    found: list[Tensor] = []
    with evaluation_mode(task.model):
        for i in range(len(batch)):  # without padding, so that no embedding of it is averaged
            one = trimmed(batch.select([i]))
            a = method(
                task.model,
                task.call(one.inputs),
                one.targets,
                strict=False,
                batch_size=32,
                **options,
            )
            found += task.pool(one, _relevance(a.relevance))
    return found


def _parts(task: Task, batch: Batch) -> list[Batch]:
    """Forwards of a size that a backward has memory for; alone where padding is not safe."""
    longest = max(1, int(batch.lengths.max()))
    size = max(1, task.chunk // longest) if task.pads else 1
    starts = range(0, len(batch), size)
    return [trimmed(batch.select(range(s, min(len(batch), s + size)))) for s in starts]


def trimmed(batch: Batch) -> Batch:
    """The batch without padding that no sample in it needs."""
    longest, width = int(batch.lengths.max()), batch.member.shape[1]
    if "pixels" in batch.inputs or longest == width:
        return batch
    made = batch.select(range(len(batch)))
    everything = take(batch, torch.arange(len(batch)))
    made.inputs = {n: v[:, :longest].contiguous() for n, v in everything.items()}
    made.member = batch.member[:, :longest]
    return made


def _relevance(found: Any) -> Tensor:
    if not isinstance(found, Tensor):
        raise UnsuitableError(f"the model has several explained inputs: {', '.join(found)}")
    return found
