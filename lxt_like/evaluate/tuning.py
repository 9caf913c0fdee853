"""``lxt.tune``: the composite that explains this model most faithfully, found on a few samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from ..composites import Composite
from ..errors import InputError, LxtError, one_line
from .columns import Columns
from .data import limited, open_source
from .methods.gradients import Relevance
from .metrics import srg
from .numbers import Column
from .readable import Readable, readable
from .removal import check_any, operator_of, remove
from .run import task_of
from .space import Choice, Space, space_of
from .statistics import Array, Estimate, Paired, paired
from .task import Batch, Row, Task

ROUNDS = 2
PART = 16
LEAST = 8
"""Samples: fewer cannot be split into a half to choose on and a half to check on."""


@dataclass(frozen=True)
class Trial:
    """One composite that was tried: its mean SRG on the half that it was chosen on.

    ``srg`` is None where it failed; ``note`` says why.
    """

    choice: Choice
    srg: float | None
    note: str = ""


@dataclass(frozen=True)
class Tuned:
    """What :func:`lxt.tune` found; prints as the table, the verdict, and the composite's code.

    Attributes:
        composite: the one to use: the best, or the default where the best is not surely better.
        choice: its point in the search.
        best: the best on the half that was searched, whether it is used or not.
        changed: whether it is another than the default.
        held_out: best minus default on the other half, with the interval that decides.
        table: everything that was tried, best first.
        operators: the ways units were removed.
        samples: how many samples were searched on and checked on.
    """

    composite: Composite
    choice: Choice
    best: Choice
    changed: bool
    held_out: Paired
    table: tuple[Trial, ...]
    operators: tuple[str, ...]
    samples: tuple[int, int]

    def __str__(self) -> str:
        lines = [f"SRG on {self.samples[0]} samples, removal by {' and '.join(self.operators)}"]
        column = Column.of(trial.srg for trial in self.table)
        for trial in self.table:
            shown = f"{column.number(trial.srg) if trial.srg is not None else 'failed':>8}"
            note = f"  ({trial.note})" if trial.note else ""
            lines.append(f"{shown}  {trial.choice}{note}")
        return "\n".join([*lines, "", self._verdict(), "", f"composite = {self.composite!r}"])

    def _verdict(self) -> str:
        if self.best == Choice():
            return "nothing tried was better than the default: AttnLRP stays"
        gain: Estimate = self.held_out.difference
        column = Column.of_estimates([asdict(gain)]).row(asdict(gain))
        said = column.number(gain.mean) if gain.mean is not None else "unknown"
        if gain.low is not None and gain.high is not None:
            said += f" ({column.interval(asdict(gain))})"
        end = "it is used" if self.changed else "that may be chance, so the default, AttnLRP, stays"
        return f"the best gains {said} on {self.samples[1]} other samples: {end}"


def tune(
    model: Any,
    samples: Any,
    *,
    operators: Sequence[str] | str | None = None,
    budget: int = 30,
    limit: int | None = 100,
    steps: int | None = 16,
    target: Any = None,
    seed: int = 0,
    columns: Columns | None = None,
    processor: Any = None,
    labels: Any = None,
    cell: int | tuple[int, int] | None = None,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Tuned:
    """Choose a composite for a model by measurement, without knowing the rules.

    One coordinate at a time (attention, gamma in the early, middle and late third of the linear
    operations, the rule at the pixels) takes its best value on one half of the samples; the
    other half decides: where the 95 % interval of the gain over AttnLRP there reaches 0 or below,
    AttnLRP stays.

    Args:
        model, processor, labels, cell, device, trust_remote_code, columns: as for
            :func:`lxt.evaluate`.
        samples: texts or images, in any form that :func:`lxt.evaluate` takes; at least 8 of them.
        operators: ways to remove units; the SRG is averaged over them; None: the model's first two.
        budget: the most composites to try.
        limit: the most samples to use.
        steps: points of a curve.
        target: the class to explain, None: the predicted one.
        seed: of the draw, the halves and ties.
        progress: called with the number of composites tried and the budget.

    Raises:
        InputError: fewer than 8 samples that can be read, or an unknown operator.
    """
    if budget < 1:
        raise InputError(f"budget must be at least 1, got {budget}")
    source = limited(open_source(samples, columns), limit, seed)
    task = task_of(model, source.kind, processor, labels, cell, device, trust_remote_code)
    check_any(task)
    names = [operators] if isinstance(operators, str) else operators
    names = list(task.operators)[:2] if names is None else list(names)
    for name in names:
        operator_of(task, name)
    given = [Row(s.id, s.content) for s in source.samples() if s.fault is None]
    found = _readable(task, given, target)
    rows = found.rows
    if len(rows) < LEAST:
        others = [f"; sample {row.id!r}: {why}" for row, why in found.left_out[:1]]
        raise InputError(
            f"tuning needs at least {LEAST} samples that can be read, got {len(rows)}"
            f"{''.join(others)}"
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    halves = [[rows[i] for i in part] for part in (order[::2], order[1::2])]
    search, check = (
        _Measure(task, _readable(task, half, target).batches, names, steps, seed) for half in halves
    )
    space = space_of(task, search.batches[0])
    trials = _search(space, search, budget, progress)
    table = sorted(trials.values(), key=lambda t: -(t.srg if t.srg is not None else -np.inf))
    best, default = table[0].choice, Choice()
    held_out = paired(check(space.composite(best)), check(space.composite(default)), seed)
    low = held_out.difference.low
    changed = best != default and low is not None and low > 0
    chosen = best if changed else default
    return Tuned(
        composite=space.composite(chosen),
        choice=chosen,
        best=best,
        changed=changed,
        held_out=held_out,
        table=tuple(table),
        operators=tuple(names),
        samples=(len(halves[0]), len(halves[1])),
    )


@dataclass(frozen=True)
class _Measure:
    """The SRG of a composite on prepared samples, averaged over operators."""

    task: Task
    batches: list[Batch]
    operators: list[str]
    steps: int | None
    seed: int

    def __call__(self, composite: Composite) -> Array:
        method = Relevance(composite)
        found: list[float] = []
        for batch in self.batches:
            scores = method(self.task, batch)
            each = [
                [srg(c) for c in remove(self.task, batch, scores, name, self.steps, seed=self.seed)]
                for name in self.operators
            ]
            found += np.mean(each, 0).tolist()
        return np.array(found)


def _search(
    space: Space,
    measure: _Measure,
    budget: int,
    progress: Callable[[int, int], None] | None,
) -> dict[Choice, Trial]:
    """Coordinate search from the default; every point is measured once.

    Raises:
        LxtError: the default itself cannot be measured.
    """
    at = Choice()
    trials = {at: Trial(at, float(measure(space.composite(at)).mean()))}
    for _ in range(ROUNDS):
        before = at
        for coordinate in space.coordinates:
            for choice in space.neighbours(at, coordinate):
                if choice in trials:
                    continue
                if len(trials) >= budget:
                    return trials
                trials[choice] = _try(space, measure, choice)
                if progress is not None:
                    progress(len(trials), budget)
            at = max(trials.values(), key=lambda t: -np.inf if t.srg is None else t.srg).choice
        if at == before:
            break
    return trials


def _try(space: Space, measure: _Measure, choice: Choice) -> Trial:
    try:
        return Trial(choice, float(measure(space.composite(choice)).mean()))
    except LxtError as error:  # a rule that this model has no place for
        return Trial(choice, None, one_line(error))


def _readable(task: Task, rows: Sequence[Row], target: Any) -> Readable:
    """As an evaluation takes them; a bad sample has nothing to say about rules."""
    parts = [readable(task, rows[i : i + PART], target) for i in range(0, len(rows), PART)]
    return Readable(
        [batch for part in parts for batch in part.batches],
        [left for part in parts for left in part.left_out],
    )
