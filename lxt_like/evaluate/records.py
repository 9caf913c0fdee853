"""Rows of the tables, from a batch and what was measured on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .pictures import thumbnail
from .removal import Curve
from .task import Batch, Task

Rows = list[dict[str, Any]]


def facts(task: Task, batch: Batch, i: int, index: int, given: Any) -> dict[str, Any]:
    """What all rows of a sample say: who it is and what was predicted.

    ``given`` is the label as the data has it: it stays in the table where it is no class of the
    model, and ``correct`` is null then.
    """
    label = batch.rows[i].label
    predicted = int(batch.predicted[i])
    if label is not None:
        name: str | None = task.labels[label]
    else:
        name = None if given is None else str(given)
    return {
        "sample": batch.rows[i].id,
        "index": index,
        "label": name,
        "predicted": task.labels[predicted],
        "target": task.labels[int(batch.targets[i])],
        "correct": None if label is None else label == predicted,
        "units": batch.units[i],
        "score": float(batch.score[i]),
        "probability": _finite(float(batch.probability[i])),
    }


def shown(task: Task, batch: Batch, i: int, known: Mapping[str, Any]) -> dict[str, Any]:
    """What a report shows of a sample: its words, or the picture as the model saw it."""
    row = {key: known[key] for key in ("sample", "index", "predicted", "correct")}
    if task.kind == "text":
        _, words = batch.details[i]
        return {**row, "words": [word.text for word in words]}
    from PIL import Image

    image: Any = task
    pixels = image.image.preprocess.view(batch.inputs["pixels"][i].detach().float().cpu())
    grid = image.grid(batch.inputs["pixels"])
    picture = thumbnail(Image.fromarray(np.asarray(pixels)))
    return {**row, "thumbnail": picture, "rows": grid.rows, "columns": grid.cols}


def measured(
    known: Mapping[str, Any], method: Mapping[str, Any], metrics: Mapping[str, float]
) -> dict[str, Any]:
    """A row of ``per_sample``; NaN becomes null."""
    return {**known, **method, **{name: _finite(value) for name, value in metrics.items()}}


def curve(sample: str, method: Mapping[str, Any], found: Curve) -> dict[str, Any]:
    """A row of ``curves``."""
    return {
        "sample": sample,
        **{key: method[key] for key in ("method", "seed", "operator")},
        "k": found.fraction.tolist(),
        "morf_logit": found.morf_logit.tolist(),
        "lerf_logit": found.lerf_logit.tolist(),
        "morf_probability": found.morf_probability.tolist(),
        "lerf_probability": found.lerf_probability.tolist(),
    }


def relevance(sample: str, method: str, seed: int, scores: Tensor) -> dict[str, Any]:
    """A row of ``relevance``."""
    values: Sequence[float] = scores.detach().float().cpu().tolist()
    return {"sample": sample, "method": method, "seed": seed, "values": values}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
