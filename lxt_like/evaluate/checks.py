"""A thorough report's further tables: does a method depend on the model, does it add up.

They are made on the first few samples, since each of them explains many times.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import InputError, LxtError
from .data import Source
from .methods import Method, make_methods
from .methods.gradients import Relevance
from .methods.types import Scores
from .sanity import conservation_error, emprt, mprt
from .task import Batch, Row, Task

SAMPLES = 8
LAYERS = 6
_BLIND = ("random", "centre")


def check_tables(
    task: Task, source: Source, methods: Sequence[Method], target: Any, seed: int
) -> list[dict[str, Any]]:
    """Tables for the report: title, help, columns, rows; a method that fails a check says so."""
    batch = _first(task, source, target)
    if batch is None:
        return []
    named = {method.name: method for method in methods if method.name not in _BLIND}
    randomised = [_randomised(task, batch, method, seed) for method in named.values()]
    tables = [
        {
            "title": "Does it depend on the model?",
            "help": "eMPRT: how much more complex the explanation becomes with random weights "
            "(above 0 is good). MPRT: rank correlation of the explanations while weights are "
            "randomised from the input upwards (near 0 is good, 1 ignores the weights). "
            f"Over {len(batch)} samples.",
            "columns": ["method", "eMPRT", "MPRT", "note"],
            "rows": randomised,
        }
    ]
    kept = [_conserved(task, batch, name, m.run) for name, m in named.items()]
    if rows := [row for row in kept if row is not None]:
        tables.append(
            {
                "title": "Does it add up?",
                "help": "The share of the score that the inputs leave to the model's own parts "
                "(biases, positions, softmax), and the share that the account cannot explain, "
                f"which is rounding or a fault. Over {len(batch)} samples.",
                "columns": ["method", "not in the inputs", "unexplained", "note"],
                "rows": rows,
            }
        )
    return tables


def _randomised(task: Task, batch: Batch, method: Method, seed: int) -> list[Any]:
    make = partial(_again, method)
    try:
        # RuntimeError: what torch raises in a model whose weights make no sense any more
        complexity = _mean(emprt(task, batch, make, seed=seed))
        similarity = mprt(task, batch, make, seed=seed, most=LAYERS).mean
    except (LxtError, RuntimeError) as error:
        return [method.name, None, None, _line(error)]
    return [method.name, complexity, similarity if np.isfinite(similarity) else None, ""]


def _again(method: Method, task: Task) -> Scores:
    """The method for another model: made anew where it is known how."""
    if method.given is None:
        return method.run
    made, left_out = make_methods(task, [(method.name, method.given)], seed=method.seed)
    if not made:
        raise InputError(left_out[method.name])
    return made[0].run


def _conserved(task: Task, batch: Batch, name: str, run: Scores) -> list[Any] | None:
    if not isinstance(run, Relevance):
        return None
    try:
        found = conservation_error(task, batch, run.composite)
    except (LxtError, RuntimeError) as error:
        return [name, None, None, _line(error)]
    return [name, _mean([own for own, _ in found]), _mean([gap for _, gap in found]), ""]


def _first(task: Task, source: Source, target: Any) -> Batch | None:
    """The first samples that can be read together."""
    rows: list[Row] = []
    for sample in source.samples():
        row = Row(sample.id, sample.content)
        try:
            batch = task.prepare([*rows, row], target)
        except InputError:
            continue  # the run lists it
        if batch.units[-1]:
            rows.append(row)
        if len(rows) == SAMPLES:
            break
    return task.prepare(rows, target) if rows else None


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
