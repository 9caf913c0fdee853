"""Which samples a report shows, and how: words in their shades, images beside their maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..render.colors import LIGHT, ink, normalise, to_hex
from .pictures import heat, shown
from .statistics import Array

COUNT = 6
"""Samples of each kind."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its colours, as CSS hex codes."""

    text: str
    background: str
    color: str


@dataclass(frozen=True, slots=True)
class Item:
    """One sample: an image and its map as data URIs, or words."""

    title: str
    fact: str
    image: str = ""
    heat: str = ""
    words: list[Word] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Samples of one kind under a heading."""

    title: str
    items: list[Item]


Record = Mapping[str, Any]


def galleries(
    per_sample: Sequence[Record],
    samples: Sequence[Record],
    relevance: Sequence[Record],
    method: str,
    operator: str,
) -> list[Gallery]:
    """Best, median, worst and wrongly predicted samples of one method, by SRG."""
    known = {row["sample"]: row for row in samples}
    maps = {row["sample"]: row for row in relevance if row["method"] == method}
    rows = [
        row
        for row in per_sample
        if (row["method"], row["operator"]) == (method, operator)
        and row["srg"] is not None
        and row["sample"] in known
        and row["sample"] in maps
    ]
    rows.sort(key=lambda row: (-row["srg"], row["index"]))
    middle = max(0, (len(rows) - COUNT) // 2)
    wrong = [row for row in rows if row["correct"] is False]
    chosen = {
        "Most faithful": rows[:COUNT],
        "Median": rows[middle : middle + COUNT],
        "Least faithful": rows[::-1][:COUNT],
        "Predicted wrong": wrong[:COUNT],
    }
    return [
        Gallery(title, [_item(row, known[row["sample"]], maps[row["sample"]]) for row in part])
        for title, part in chosen.items()
        if part
    ]


def _item(row: Record, sample: Record, relevance: Record) -> Item:
    predicted = f"{row['predicted']}"
    if row["correct"] is False:
        predicted += f", not {row['label']}"
    values = np.asarray(relevance["values"], dtype=np.float64)
    fact = f"SRG {row['srg']:+.3g}"
    if row["probability"] is not None:
        fact += f" · {row['probability']:.0%}"
    if sample["thumbnail"] is not None and _fits(sample, values):
        picture = heat(values, sample["rows"], sample["columns"], sample["thumbnail"])
        return Item(predicted, fact, shown(sample["thumbnail"]), picture)
    return Item(predicted, fact, words=_words(sample["words"] or [], values))


def _fits(sample: Record, values: Array) -> bool:
    return bool(sample["rows"]) and sample["rows"] * sample["columns"] == len(values)


def _words(texts: Sequence[str], values: Array) -> list[Word]:
    peak = float(np.abs(values).max(initial=0.0))
    made = []
    for text, value in zip(texts, values, strict=False):
        color = LIGHT(normalise(float(value), peak))
        made.append(Word(text, to_hex(color), to_hex(ink(color))))
    return made


def mean_maps(
    samples: Sequence[Record], relevance: Sequence[Record], method: str
) -> list[tuple[str, int, str]]:
    """(class, samples, heat map) of each predicted class: where the model looks on average.

    Each map is divided by its largest absolute value first, so that no sample outweighs the
    others.  Only maps on one grid are averaged: the commonest.
    """
    maps = {row["sample"]: row for row in relevance if row["method"] == method}
    grids: dict[tuple[int, int], int] = {}
    for row in samples:
        if row["rows"] and row["sample"] in maps:
            grid = (row["rows"], row["columns"])
            grids[grid] = grids.get(grid, 0) + 1
    if not grids:
        return []
    rows, columns = max(grids, key=lambda grid: grids[grid])
    classes: dict[str, list[Array]] = {}
    for row in samples:
        if (row["rows"], row["columns"]) == (rows, columns) and row["sample"] in maps:
            values = np.asarray(maps[row["sample"]]["values"], dtype=np.float64)
            peak = np.abs(values).max(initial=0.0)
            if len(values) == rows * columns and peak:
                classes.setdefault(row["predicted"], []).append(values / peak)
    return [
        (name, len(each), heat(np.mean(each, 0), rows, columns))
        for name, each in sorted(classes.items())
    ]
