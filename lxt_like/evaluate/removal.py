"""The removal engine: units taken out most and least relevant first, in large forwards."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .task import Batch, Operator, Task

Array = np.ndarray[Any, np.dtype[np.float64]]

MANY = 256
"""Up to so many units they are removed one by one."""
STEPS = 50
"""Of more units about so many curve points."""


@dataclass(frozen=True)
class Curve:
    """One sample's two removal curves.

    Attributes:
        k: [K + 1] float64, how many units are removed: from 0 to all of them.
        units: how many there are.
        morf_logit, lerf_logit: [K + 1] float64, the watched logit with the k most (least) relevant
            units removed.
        morf_probability, lerf_probability: the same of its probability.
    """

    k: Array
    units: int
    morf_logit: Array
    lerf_logit: Array
    morf_probability: Array
    lerf_probability: Array

    @property
    def fraction(self) -> Array:
        """[K + 1], the share of units that are removed: from 0 to 1."""
        return self.k / max(1, self.units)


def remove(
    task: Task,
    batch: Batch,
    scores: Sequence[Tensor],
    operator: str,
    steps: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> list[Curve]:
    """The removal curves of every sample, with the target fixed on the clean input.

    All points of all samples and both directions are one pool of rows: ordered by how many
    positions are left, cut into forwards of about equal work, in inference mode.  The clean point
    is known from the batch; the one with nothing left is computed once per batch and operator.

    Args:
        scores: per sample one signed number a unit; only their order counts.
        operator: a name in ``task.operators``.
        steps: how many steps from nothing removed to all; None: one unit at a time up to 256
            units, 50 steps above.
        batch_size: rows in one forward; None: as many as make ``task.chunk`` positions.
        seed: of the order among equal scores, which is drawn for each sample by its ``id``.

    Raises:
        InputError: scores that are not finite or not one a unit, or an unknown operator.
    """
    op = operator_of(task, operator)
    orders = [
        ranking(s, n, row, seed)
        for s, n, row in zip(scores, batch.units, [r.id for r in batch.rows], strict=True)
    ]
    counts = [step_counts(n, steps) for n in batch.units]
    samples: list[int] = []
    sets: list[np.ndarray[Any, Any]] = []
    for i, (order, at) in enumerate(zip(orders, counts, strict=True)):
        for chosen in (order, order[::-1]):  # most, then least relevant first
            rank = np.empty(len(chosen), dtype=np.int64)
            rank[chosen] = np.arange(len(chosen))
            inner = at[1:-1]
            samples += [i] * len(inner)
            sets += [*(rank[None] < inner[:, None])]
    logits = forwards(task, batch, op, samples, sets, batch_size)
    floor = floors(task, batch, op, batch_size)
    watched, likely = _watched(task, batch, logits, samples)
    last, last_p = _watched(task, batch, floor, list(range(len(batch))))
    curves, start = [], 0
    for i, at in enumerate(counts):
        inner_count = max(0, len(at) - 2)
        made = []
        for values, clean, end in (
            (watched, batch.score, last),
            (likely, batch.probability, last_p),
        ):
            for way in range(2):
                first = start + way * inner_count
                points = [float(clean[i]), *values[first : first + inner_count].tolist()]
                if len(at) > 1:
                    points.append(float(end[i]))
                made.append(np.array(points))
        start += 2 * inner_count
        curves.append(Curve(at.astype(np.float64), batch.units[i], *made))
    return curves


def check_any(task: Task) -> None:
    """Raise InputError if this model supports no operator at all."""
    if not task.operators:
        reasons = "; ".join(f"{name}: {why}" for name, why in task.refused.items())
        raise InputError(f"from this model's inputs units can be removed in no way: {reasons}")


def operator_of(task: Task, name: str) -> Operator:
    """The operator of that name.

    Raises:
        InputError: there is none, or this model does not support it; the message says why.
    """
    check_any(task)
    if name in task.operators:
        return task.operators[name]
    why = f" ({task.refused[name]})" if name in task.refused else ""
    raise InputError(
        f"no removal operator {name!r} for this model{why}: "
        f"expected one of {', '.join(task.operators)}"
    )


def ranking(scores: Tensor, units: int, name: str, seed: int) -> np.ndarray[Any, Any]:
    """The units from the most to the least relevant; equal ones in a random order.

    Raises:
        InputError: scores that are not finite, or not one a unit.
    """
    values = np.asarray(torch.as_tensor(scores).detach().cpu(), dtype=np.float64)
    if values.shape != (units,):
        raise InputError(
            f"sample {name!r}: expected one score for each of its {units} units, got shape "
            f"{values.shape}"
        )
    if not np.isfinite(values).all():
        raise InputError(f"sample {name!r}: its scores hold NaN or infinity")
    return np.lexsort((draw(name, seed).random(units), -values))


def draw(name: str, seed: int) -> np.random.Generator:
    """Random numbers that depend on the seed and the sample, not on what else is in a batch."""
    return np.random.default_rng([seed, zlib.crc32(name.encode("utf-8", "surrogatepass"))])


def step_counts(units: int, steps: int | None = None) -> np.ndarray[Any, Any]:
    """How many units are removed at each point: 0 first, all of them last."""
    if steps is None:
        steps = units if units <= MANY else STEPS
    steps = min(steps, units)
    if steps < 1:
        if units:
            raise InputError(f"steps must be a positive whole number, got {steps}")
        return np.zeros(1, dtype=np.int64)
    return np.round(np.linspace(0, units, steps + 1)).astype(np.int64)


def floors(task: Task, batch: Batch, op: Operator, batch_size: int | None = None) -> Tensor:
    """The logits [B, C] with every unit removed, kept in the batch."""
    if op.name not in batch.floors:
        everything = [np.ones(n, dtype=bool) for n in batch.units]
        samples = list(range(len(batch)))
        batch.floors[op.name] = forwards(task, batch, op, samples, everything, batch_size)
    return batch.floors[op.name]


def forwards(
    task: Task,
    batch: Batch,
    op: Operator,
    samples: Sequence[int],
    sets: Sequence[np.ndarray[Any, Any]],
    batch_size: int | None = None,
) -> Tensor:
    """The logits [n, C] of samples without sets of units.

    Args:
        samples: [n] indices into the batch, which may repeat.
        sets: per row a bool for each unit of its sample: whether it is removed.
    """
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size must be a positive whole number, got {batch_size}")
    device = batch.member.device
    if not samples:
        return torch.zeros(0, len(task.labels), device=device)
    most = max(batch.units)
    chosen = np.zeros((len(sets), most + 1), dtype=bool)
    for row, gone in zip(chosen, sets, strict=True):
        row[: len(gone)] = gone  # the last column stands for what is never removed
    units = torch.from_numpy(chosen).to(device)
    rows = torch.tensor(list(samples), device=device)
    member = batch.member.where(batch.member >= 0, most)
    positions = torch.cat(
        [u.gather(1, member[r]) for u, r in zip(units.split(4096), rows.split(4096), strict=True)]
    )
    with torch.inference_mode():
        left = op.lengths(batch, rows, positions).cpu().numpy()
        order = np.argsort(-left, kind="stable")  # the largest forward first, to fail at once
        out: Tensor | None = None
        for part in _parts(left[order], op.equal, task.chunk, batch_size):
            at = torch.from_numpy(order[part[0] : part[1]]).to(device)
            found = op.logits(task, batch, rows[at], positions[at])
            if out is None:
                out = found.new_empty(len(rows), found.shape[1])
            out[at] = found
    assert out is not None
    return out.clone()


def _parts(
    left: np.ndarray[Any, Any], equal: bool, chunk: int, batch_size: int | None
) -> list[tuple[int, int]]:
    """Where to cut rows of ``left`` positions (most first) into forwards."""
    parts, start = [], 0
    while start < len(left):
        size = batch_size or max(1, chunk // max(1, int(left[start])))
        stop = min(len(left), start + size)
        if equal:
            stop = start + int(np.searchsorted(-left[start:stop], -left[start], side="right"))
        parts.append((start, stop))
        start = stop
    return parts


def _watched(
    task: Task, batch: Batch, logits: Tensor, samples: Sequence[int]
) -> tuple[Array, Array]:
    """The logits and probabilities [n] of each row's target, in float64."""
    if not samples:
        return np.zeros(0), np.zeros(0)
    at = batch.targets[torch.tensor(list(samples), device=batch.targets.device)][:, None]
    score = logits.double().gather(1, at)[:, 0]
    probability = task.probabilities(logits).gather(1, at)[:, 0]
    return score.cpu().numpy(), probability.cpu().numpy()
