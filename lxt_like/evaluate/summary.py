"""The summary of a run: what the rows of all samples say, as one JSON document.

A method with several seeds (random) counts once a sample, with the mean over its seeds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .statistics import Array, agreement, band, estimate, holm, paired, valid
from .tables import CURVES, METRICS

VERSION = 1
"""Of the document; a reader refuses others."""

GRID = 51
"""Points of the mean curves, from nothing removed to everything."""

HEADLINE = "srg"

Record = Mapping[str, Any]
Summary = dict[str, Any]


class Samples:
    """Numbers of one method under one operator: per metric one number a sample, in data order."""

    def __init__(self, records: Sequence[Record]) -> None:
        seeds: dict[str, list[Record]] = {}
        for record in records:
            seeds.setdefault(record["sample"], []).append(record)
        self.ids = list(seeds)
        self._rows = [seeds[i] for i in self.ids]

    def metric(self, name: str) -> Array:
        """The metric of each sample, NaN where it is not known."""
        return np.array([_mean([r.get(name) for r in rows]) for rows in self._rows])

    def known(self, name: str, keep: Array | None = None) -> Array:
        """The metric of the samples that have it (and are to be kept)."""
        values = self.metric(name)
        mask = np.isfinite(values)
        return values[mask] if keep is None else values[mask & keep.astype(bool)]

    def column(self, name: str) -> list[Any]:
        """What the first seed of each sample says."""
        return [rows[0][name] for rows in self._rows]


def _mean(values: Sequence[float | None]) -> float:
    known = [v for v in values if v is not None and np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def grouped(records: Sequence[Record]) -> dict[tuple[str, str], Samples]:
    """Records by (operator, method), in order of appearance."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record["operator"], record["method"]), []).append(record)
    return {key: Samples(rows) for key, rows in groups.items()}


def summarise(
    per_sample: Sequence[Record],
    curves: Sequence[Record],
    reference: str,
    seed: int = 0,
    memory: Mapping[str, float] | None = None,
) -> Summary:
    """Tables, paired tests, validity, agreement and mean curves of all records.

    Args:
        per_sample: rows of the table ``per_sample``.
        curves: rows of the table ``curves``.
        reference: the method that the others are compared with, on the samples both have.
        seed: of the bootstrap.
        memory: peak memory of each method in megabytes.
    """
    groups = grouped(per_sample)
    operators = list(dict.fromkeys(operator for operator, _ in groups))
    table = [
        {
            "operator": operator,
            "method": method,
            **asdict(estimate(samples.known(HEADLINE), seed)),
            "metrics": _metrics(samples),
            "milliseconds": _finite(_mean(list(samples.metric("milliseconds")))),
            "megabytes": None if memory is None else memory.get(method),
            "correct": _of(samples, True, seed),
            "wrong": _of(samples, False, seed),
            "classes": _classes(samples),
        }
        for (operator, method), samples in groups.items()
    ]
    return {
        "reference": reference,
        "operators": operators,
        "methods": list(dict.fromkeys(method for _, method in groups)),
        "predictions": _predictions(per_sample),
        "table": table,
        "paired": _paired(groups, operators, reference, seed),
        "validity": _validity(groups, operators, seed),
        "agreement": _agreement(table, operators),
        "curves": _curves(curves),
    }


def _metrics(samples: Samples) -> dict[str, float]:
    means = {name: _mean(list(samples.metric(name))) for name in METRICS}
    return {name: value for name, value in means.items() if np.isfinite(value)}


def _of(samples: Samples, correct: bool, seed: int) -> dict[str, Any]:
    keep = np.array([found is correct for found in samples.column("correct")])
    return asdict(estimate(samples.known(HEADLINE, keep), seed))


def _classes(samples: Samples) -> dict[str, dict[str, Any]]:
    predicted = samples.column("predicted")
    made = {}
    for name in sorted(set(predicted)):
        values = samples.known(HEADLINE, np.array([p == name for p in predicted]))
        if len(values):
            made[name] = {"n": len(values), "mean": float(values.mean())}
    return made


def _predictions(records: Sequence[Record]) -> dict[str, int]:
    """How many samples there are, how many have a label, and how many are predicted right."""
    correct = {record["sample"]: record["correct"] for record in records}
    known = [value for value in correct.values() if value is not None]
    return {"samples": len(correct), "labelled": len(known), "correct": sum(known)}


def _paired(
    groups: Mapping[tuple[str, str], Samples], operators: Sequence[str], reference: str, seed: int
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for operator in operators:
        if (operator, reference) not in groups:
            continue
        one = groups[operator, reference]
        known = dict(zip(one.ids, one.metric(HEADLINE), strict=True))
        found: list[dict[str, Any]] = []
        for (at, method), samples in groups.items():
            if at != operator or method == reference:
                continue
            both = [
                (known[i], value)
                for i, value in zip(samples.ids, samples.metric(HEADLINE), strict=True)
                if np.isfinite(known.get(i, np.nan)) and np.isfinite(value)
            ]
            a, b = np.array(both, dtype=np.float64).reshape(-1, 2).T
            made = paired(a, b, seed)
            found.append(
                {
                    "operator": operator,
                    "method": method,
                    "n": made.difference.n,
                    "difference": made.difference.mean,
                    "low": made.difference.low,
                    "high": made.difference.high,
                    "p": made.p,
                }
            )
        adjusted = holm([row["p"] for row in found])
        rows += [{**row, "p_holm": p} for row, p in zip(found, adjusted, strict=True)]
    return rows


def _validity(
    groups: Mapping[tuple[str, str], Samples], operators: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    made = []
    for operator in operators:
        if (operator, "random") in groups:
            found = estimate(groups[operator, "random"].known(HEADLINE), seed)
            made.append({"operator": operator, "passed": valid(found), **asdict(found)})
    return made


def _agreement(
    table: Sequence[Mapping[str, Any]], operators: Sequence[str]
) -> list[dict[str, Any]]:
    means = {
        operator: {
            row["method"]: row["mean"]
            for row in table
            if row["operator"] == operator and row["mean"] is not None
        }
        for operator in operators
    }
    return [
        {"operators": [one, other], "tau": agreement(means[one], means[other])}
        for i, one in enumerate(operators)
        for other in operators[i + 1 :]
    ]


def _curves(rows: Sequence[Record]) -> list[dict[str, Any]]:
    """Mean curves with bands on a common grid of the removed share, over the finite ones.

    None where there are none: a regression's head has no probability.
    """
    grid = np.linspace(0, 1, GRID)
    groups: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for row in rows:
        samples = groups.setdefault((row["operator"], row["method"]), {})
        samples.setdefault(row["sample"], []).append(row)
    made = []
    for (operator, method), samples in groups.items():
        entry: dict[str, Any] = {"operator": operator, "method": method, "k": _rounded(grid)}
        for name in CURVES:
            each = [
                np.mean([np.interp(grid, row["k"], row[name]) for row in seeds], 0)
                for seeds in samples.values()
            ]
            each = [values for values in each if np.isfinite(values).all()]
            if not each:
                entry[name] = None
                continue
            mean, low, high = band(each)
            entry[name] = {"mean": _rounded(mean), "low": _rounded(low), "high": _rounded(high)}
        made.append(entry)
    return made


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def dumps(summary: Summary) -> str:
    """The document as JSON text, with its version."""
    return json.dumps(
        {"version": VERSION, **summary}, indent=1, ensure_ascii=False, allow_nan=False
    )


def load_summary(path: str | Path) -> Summary:
    """A ``summary.json`` back.

    Raises:
        InputError: there is no such file, or it is no summary of this version.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON file: {error}") from error
    found = document.get("version") if isinstance(document, dict) else None
    if found != VERSION:
        raise InputError(f"{path}: expected a summary of version {VERSION}, got {found!r}")
    return {key: value for key, value in document.items() if key != "version"}
