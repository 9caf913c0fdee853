"""Samples that a model can read, made ready together if they can be; the others with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import InputError, LxtError, TargetError, one_line
from .localisation import unit_masks
from .task import Batch, Row, Task

_NO_SAMPLES_FAULT = ("out of memory", "allocate memory", "alloc_failed", "cuda error")


@dataclass(frozen=True)
class Readable:
    """What there is to evaluate, in the order given, and what is left out and why."""

    batches: list[Batch]
    left_out: list[tuple[Row, str]]

    @property
    def rows(self) -> list[Row]:
        """The samples of all batches."""
        return [row for batch in self.batches for row in batch.rows]


def readable(task: Task, rows: Sequence[Row], target: Any) -> Readable:
    """Those samples that can be prepared, have something to remove and a finite score.

    Raises:
        TargetError: the target is no class of the model.
        RuntimeError: no memory is left, or a device gave up.
    """
    left_out: list[tuple[Row, str]] = []
    kept = []
    for batch in _prepared(task, list(rows), target, left_out) if rows else ():
        fine = []
        for i, row in enumerate(batch.rows):
            if batch.units[i] == 0:
                left_out.append((row, "there is nothing in it to remove"))
            elif not bool(torch.isfinite(batch.score[i])):
                left_out.append((row, "the model gives no finite score for it"))
            else:
                fine.append(i)
        if fine:
            kept.append(batch if len(fine) == len(batch) else batch.select(fine))
    return Readable(kept, left_out)


def _prepared(
    task: Task, rows: list[Row], target: Any, left_out: list[tuple[Row, str]]
) -> list[Batch]:
    try:
        return [_prepare(task, rows, target)]
    except (InputError, RuntimeError) as fault:
        _reraised(fault)
    found, good = [], []
    for row in rows:
        try:
            found.append(_prepare(task, [row], target))
            good.append(row)
        except (InputError, RuntimeError) as error:  # smaller than the model's kernels, say
            _reraised(error)
            left_out.append((row, _own(error, row)))
    if 1 < len(good) < len(rows):
        try:
            return [_prepare(task, good, target)]
        except (InputError, RuntimeError) as error:
            _reraised(error)  # images of different sizes stay apart
    return found


def _prepare(task: Task, rows: list[Row], target: Any) -> Batch:
    batch = task.prepare(rows, target)
    unit_masks(task, batch)  # a mask that does not fit is that sample's fault
    return batch


def _reraised(error: Exception) -> None:
    """Raise what is no sample's fault: a wrong target, no memory left, a device that gave up."""
    text = str(error).lower()
    broken = any(words in text for words in _NO_SAMPLES_FAULT)
    if broken or isinstance(error, TargetError | torch.OutOfMemoryError):
        raise error


def said(error: Exception) -> str:
    """The message of whatever went wrong; of what is no error of ours with its type."""
    told = one_line(error)
    name = type(error).__name__
    plain = isinstance(error, LxtError | RuntimeError) or told == name
    return told if plain else f"{name}: {told}"


def _own(error: Exception, row: Row) -> str:
    """The message, without the sample's name that stands beside it."""
    return one_line(error).removeprefix(f"sample {row.id!r}: ")
