"""All rows of all texts through the model, whatever its task, with a bar that shows how far."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..targets import as_target
from .batches import Options, Runner
from .encode import Encoding
from .rows import Row, RowResult
from .tasks import Task


def run(
    runner: Runner,
    task: Task,
    encodings: Sequence[Encoding],
    parts: Sequence[list[list[int]]],
    target: Any,
    options: Options,
    bar: Bar,
) -> list[list[RowResult]]:
    """The results of every text's parts, in order."""
    target = task.joined(target, len(encodings))
    rows = [Row(i, e, p) for i, e in enumerate(encodings) for p in parts[i]]
    whole = [row for row in rows if len(parts[row.item]) == 1]
    windowed = [row for row in rows if len(parts[row.item]) > 1]
    results: list[list[RowResult]] = [[] for _ in encodings]
    for group in (whole, windowed):
        asks = task.asks(target, group, len(encodings))
        if group is windowed and group:  # each would explain a prediction of its own
            fixed = as_target(target).fixed(partial(_predicted, runner, group, len(encodings)))
            asks = task.asks(fixed, group, len(encodings))
        found: list[RowResult | None] = [None] * len(group)
        for batch in runner.batches(group):
            chosen = [group[i] for i in batch]
            part = task.target([asks[i] for i in batch])
            done = runner.explain(chosen, part, options, task.found)
            for i, result in zip(batch, done, strict=True):
                found[i] = result
                bar.advance(1 / len(parts[group[i].item]))
        for row, made in zip(group, found, strict=True):
            if made is not None:
                results[row.item].append(made)
    return results


def _predicted(runner: Runner, rows: Sequence[Row], items: int) -> list[int]:
    """The class of the mean of the windows' logits, per text (0: a text without windows)."""
    total: dict[int, Tensor] = {}
    for batch in runner.batches(rows):
        for i, logits in zip(batch, runner.logits([rows[i] for i in batch]), strict=True):
            item = rows[i].item
            total[item] = total.get(item, torch.zeros_like(logits)) + logits
    return [int(total[i].argmax()) if i in total else 0 for i in range(items)]


class Bar:
    """A progress bar over texts (or images) on stderr, or nothing."""

    def __init__(self, total: int, shown: bool, unit: str = "text") -> None:
        self._done = 0.0
        self._bar: Any = None
        if shown:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=unit)

    def advance(self, share: float) -> None:
        self._done += share
        if self._bar is not None:
            # shares of windows add up to whole texts but for rounding
            self._bar.update(int(self._done + 1e-6) - self._bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
