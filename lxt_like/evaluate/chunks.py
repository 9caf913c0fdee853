"""One chunk of samples evaluated: every method, every operator; bad samples set aside."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, LxtError, TargetError
from . import records
from .data import Given
from .labels import Labels
from .localisation import unit_masks
from .methods import Method
from .metrics import curve_metrics
from .removal import remove
from .task import Batch, Row, Task

Tables = dict[str, list[dict[str, Any]]]
Extra = Callable[[Task, Batch, Sequence[Tensor], str], Sequence[Mapping[str, float]]]
"""Further numbers per sample, from a batch, its scores and an operator."""


@dataclass(frozen=True)
class Plan:
    """What is done with each sample."""

    task: Task
    methods: Sequence[Method]
    operators: Sequence[str]
    target: Any = None
    steps: int | None = None
    batch_size: int | None = None
    seed: int = 0
    extras: Sequence[Extra] = ()


def evaluate_chunk(plan: Plan, samples: Sequence[tuple[int, Given]]) -> Tables:
    """The tables of some samples, each with its place in the data.

    A sample that cannot be prepared, has nothing to remove or gives no finite score is listed
    under ``skipped``; a method that fails on a sample under ``failed``.

    Raises:
        TargetError: the target is no class of the model.
    """
    tables: Tables = {name: [] for name in ("per_sample", "curves", "relevance", "samples")}
    tables |= {"skipped": [], "failed": []}
    labels = Labels(plan.task.labels)
    given = {sample.id: (index, sample) for index, sample in samples}
    tables["skipped"] += [
        {"sample": s.id, "index": index, "reason": s.fault}
        for index, s in samples
        if s.fault is not None
    ]
    rows = [
        Row(s.id, s.content, labels.index(s.label), s.mask) for _, s in samples if s.fault is None
    ]
    for batch in _batches(plan, rows, given, tables["skipped"]) if rows else ():
        known = [
            records.facts(plan.task, batch, i, *_place(given, row))
            for i, row in enumerate(batch.rows)
        ]
        tables["samples"] += [records.shown(plan.task, batch, i, k) for i, k in enumerate(known)]
        for method in plan.methods:
            _measure(plan, batch, known, method, tables)
    return tables


def _place(given: Mapping[str, tuple[int, Given]], row: Row) -> tuple[int, Any]:
    index, sample = given[row.id]
    return index, sample.label


def _batches(
    plan: Plan,
    rows: list[Row],
    given: Mapping[str, tuple[int, Given]],
    skipped: list[dict[str, Any]],
) -> list[Batch]:
    """The samples that can be evaluated, together if they can be."""
    found, good = [], []
    try:
        found = [_prepare(plan, rows)]
    except (InputError, RuntimeError) as fault:
        _reraised(fault)
        for row in rows:
            try:
                found.append(_prepare(plan, [row]))
                good.append(row)
            except (InputError, RuntimeError) as error:  # smaller than the model's kernels, say
                _reraised(error)
                skipped.append(_skip(row, given, _own(error, row)))
        if 1 < len(good) < len(rows):
            try:
                found = [_prepare(plan, good)]
            except (InputError, RuntimeError) as error:
                _reraised(error)  # images of different sizes stay apart
    kept = []
    for batch in found:
        fine = []
        for i, row in enumerate(batch.rows):
            if batch.units[i] == 0:
                skipped.append(_skip(row, given, "there is nothing in it to remove"))
            elif not bool(torch.isfinite(batch.score[i])):
                skipped.append(_skip(row, given, "the model gives no finite score for it"))
            else:
                fine.append(i)
        if fine:
            kept.append(batch if len(fine) == len(batch) else batch.select(fine))
    return kept


def _prepare(plan: Plan, rows: list[Row]) -> Batch:
    batch = plan.task.prepare(rows, plan.target)
    unit_masks(plan.task, batch)  # a mask that does not fit is that sample's fault
    return batch


def _reraised(error: Exception) -> None:
    """Raise what is no sample's fault: a wrong target, no memory left, a device that gave up."""
    text = str(error).lower()
    words = ("out of memory", "allocate memory", "alloc_failed", "cuda error")
    if isinstance(error, TargetError | torch.OutOfMemoryError) or any(w in text for w in words):
        raise error


def _own(error: Exception, row: Row) -> str:
    """The message, without the sample's name that stands beside it."""
    return _line(error).removeprefix(f"sample {row.id!r}: ")


def _skip(row: Row, given: Mapping[str, tuple[int, Given]], reason: str) -> dict[str, Any]:
    return {"sample": row.id, "index": given[row.id][0], "reason": reason}


def _measure(
    plan: Plan,
    batch: Batch,
    known: Sequence[Mapping[str, Any]],
    method: Method,
    tables: Tables,
) -> None:
    try:
        scores, milliseconds = _timed(plan.task, batch, method)
    except (LxtError, RuntimeError) as error:
        if len(batch) > 1:  # one sample may be the reason
            for i in range(len(batch)):
                _measure(plan, batch.select([i]), [known[i]], method, tables)
        else:
            tables["failed"].append(
                {"sample": batch.rows[0].id, "method": method.name, "reason": _line(error)}
            )
        return
    for i, values in enumerate(scores):
        tables["relevance"].append(
            records.relevance(batch.rows[i].id, method.name, method.seed, values)
        )
    for operator in plan.operators:
        curves = remove(
            plan.task, batch, scores, operator, plan.steps, plan.batch_size, seed=plan.seed
        )
        further: list[dict[str, float]] = [{} for _ in curves]
        for extra in plan.extras:
            for numbers, more in zip(
                further, extra(plan.task, batch, scores, operator), strict=True
            ):
                numbers.update(more)
        for i, found in enumerate(curves):
            about = {
                "method": method.name,
                "seed": method.seed,
                "operator": operator,
                "milliseconds": milliseconds,
            }
            numbers = {**curve_metrics(found), **further[i]}
            tables["per_sample"].append(records.measured(known[i], about, numbers))
            tables["curves"].append(records.curve(batch.rows[i].id, about, found))


def _timed(task: Task, batch: Batch, method: Method) -> tuple[list[Tensor], float]:
    """The scores, checked, and the milliseconds that one sample took."""
    start = time.perf_counter()
    scores = list(method(task, batch))
    if batch.member.is_cuda:
        torch.cuda.synchronize(batch.member.device)
    took = 1000 * (time.perf_counter() - start) / len(batch)
    if len(scores) != len(batch):
        raise InputError(
            f"method {method.name!r} gave scores for {len(scores)} of {len(batch)} samples"
        )
    for values, units, row in zip(scores, batch.units, batch.rows, strict=True):
        if tuple(values.shape) != (units,):
            raise InputError(
                f"method {method.name!r}, sample {row.id!r}: expected {units} scores, "
                f"got shape {tuple(values.shape)}"
            )
        if not bool(torch.isfinite(values).all()):
            raise InputError(f"method {method.name!r} gave NaN or infinity")
    return scores, took


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
