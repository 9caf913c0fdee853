"""One chunk of samples evaluated: every method, every operator; bad samples set aside."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from . import records
from .data import Given
from .labels import Labels
from .methods import Method
from .metrics import curve_metrics
from .readable import readable, said
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
    found = readable(plan.task, rows, plan.target)
    tables["skipped"] += [
        {"sample": row.id, "index": given[row.id][0], "reason": reason}
        for row, reason in found.left_out
    ]
    for batch in found.batches:
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


def _measure(
    plan: Plan,
    batch: Batch,
    known: Sequence[Mapping[str, Any]],
    method: Method,
    tables: Tables,
) -> None:
    try:
        scores, milliseconds = _timed(plan.task, batch, method)
    except Exception as error:  # a method may be anybody's function
        if len(batch) > 1:  # one sample may be the reason
            for i in range(len(batch)):
                _measure(plan, batch.select([i]), [known[i]], method, tables)
        else:
            tables["failed"].append(
                {"sample": batch.rows[0].id, "method": method.name, "reason": said(error)}
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
    scores = [torch.as_tensor(values) for values in method(task, batch)]
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
