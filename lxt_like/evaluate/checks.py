"""A thorough report's further tables: does a method depend on the model, does it add up.

They are made on the first few samples, since each of them explains many times.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from ..errors import InputError, LxtError, one_line
from .counted import counted
from .data import Source
from .methods import Method, make_methods
from .methods.gradients import Relevance
from .methods.types import Scores
from .readable import readable, said
from .sanity import Mprt, conservation_error, emprt, mprt
from .task import Batch, Row, Task

SAMPLES = 8
LAYERS = 6
_BLIND = ("random", "centre")


def check_tables(
    task: Task, source: Source, methods: Sequence[Method], target: Any, seed: int
) -> list[dict[str, Any]]:
    """Tables for the report: title, help, columns, rows; a method that fails a check says so."""
    batches = _first(task, source, target)
    if not batches:
        return []
    count = sum(map(len, batches))
    named = {method.name: method for method in methods if method.name not in _BLIND}
    randomised = [_randomised(task, batches, method, seed) for method in named.values()]
    tables = [
        {
            "title": "Does it depend on the model?",
            "help": "eMPRT: how much more complex the explanation becomes with random weights "
            "(above 0 is good). MPRT: rank correlation of the explanations while weights are "
            "randomised from the input upwards (near 0 is good, 1 ignores the weights). "
            f"Over {counted(count)}.",
            "columns": ["method", "eMPRT", "MPRT", "note"],
            "rows": randomised,
        }
    ]
    kept = [_conserved(task, batches, name, m.run) for name, m in named.items()]
    if rows := [row for row in kept if row is not None]:
        tables.append(
            {
                "title": "Does it add up?",
                "help": "The share of the score that the inputs leave to the model's own parts "
                "(biases, positions, softmax), and the share that the account cannot explain, "
                f"which is rounding or a fault. Over {counted(count)}.",
                "columns": ["method", "not in the inputs", "unexplained", "note"],
                "rows": rows,
            }
        )
    return tables


def _randomised(task: Task, batches: Sequence[Batch], method: Method, seed: int) -> list[Any]:
    make = partial(_again, method)
    try:
        complexity = _mean([h for b in batches for h in emprt(task, b, make, seed=seed)])
        each = [mprt(task, b, make, seed=seed, most=LAYERS) for b in batches]
        similarity = Mprt(each[0].layers, np.concatenate([m.similarity for m in each], 1)).mean
    except Exception as error:  # anybody's function, or weights that make no sense any more
        return [method.name, None, None, said(error)]
    return [method.name, complexity, similarity if np.isfinite(similarity) else None, ""]


def _again(method: Method, task: Task) -> Scores:
    """The method for another model: made anew where it is known how."""
    if method.given is None:
        return method.run
    made, left_out = make_methods(task, [(method.name, method.given)], seed=method.seed)
    if not made:
        raise InputError(left_out[method.name])
    return made[0].run


def _conserved(task: Task, batches: Sequence[Batch], name: str, run: Scores) -> list[Any] | None:
    if not isinstance(run, Relevance):
        return None
    try:
        found = [e for b in batches for e in conservation_error(task, b, run.composite)]
    except (LxtError, RuntimeError) as error:
        return [name, None, None, one_line(error)]
    return [name, _mean([own for own, _ in found]), _mean([gap for _, gap in found]), ""]


def _first(task: Task, source: Source, target: Any) -> list[Batch]:
    """The first samples that can be read, together where they can be."""
    batches: list[Batch] = []
    rows = (Row(s.id, s.content) for s in source.samples() if s.fault is None)
    while missing := SAMPLES - sum(map(len, batches)):
        if not (more := [*islice(rows, missing)]):
            break
        batches += readable(task, more, target).batches  # the run lists what is not
    return batches


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None
