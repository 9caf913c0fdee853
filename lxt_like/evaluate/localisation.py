"""Whether relevance lies where people marked it: objects in images, rationales in texts.

All measures compare signed scores [n] with a mask [n] of the same units and are NaN where the mask
is empty or holds every unit, since then every answer is right.  Agreement with what people marked
says that an explanation convinces, not that it is true to the model, which may be right for other
reasons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .removal import Array
from .task import Batch, Row, Task

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def pointing_game(scores: Any, mask: Any) -> float:
    """1 if the most relevant unit is marked, else 0; units that share the top share the point.

    Source: Zhang et al. 2016, arXiv:1608.00507.
    """
    values, marked = _checked(scores, mask)
    return float(marked[values == values.max()].mean()) if _telling(marked) else float("nan")


def mass_accuracy(scores: Any, mask: Any) -> float:
    """The marked share of positive relevance; NaN where there is none.

    Source: Arras et al. 2022 (relevance mass accuracy), arXiv:2003.07258.
    """
    values, marked = _checked(scores, mask)
    positive = values.clip(min=0)
    total = positive.sum()
    if not (_telling(marked) and total > 0):
        return float("nan")
    return float(positive[marked].sum() / total)


def rank_accuracy(scores: Any, mask: Any) -> float:
    """The marked share of the K most relevant units, K being how many are marked.

    Ties count as a random order does on average.  Source: Arras et al. 2022, arXiv:2003.07258.
    """
    values, marked = _checked(scores, mask)
    if not _telling(marked):
        return float("nan")
    return _hits(values, marked, int(marked.sum())) / int(marked.sum())


def auprc(scores: Any, mask: Any) -> float:
    """Area under precision and recall (average precision): sum of precision x gain in recall.

    Units with equal scores enter together.
    """
    values, marked = _checked(scores, mask)
    if not _telling(marked):
        return float("nan")
    order = np.argsort(-values, kind="stable")
    found = np.cumsum(marked[order])
    last = np.append(np.diff(values[order]) != 0, True)  # of each group of ties
    precision = found[last] / (np.flatnonzero(last) + 1)
    recall = found[last] / marked.sum()
    return float((precision * np.diff(recall, prepend=0.0)).sum())


def token_f1(scores: Any, mask: Any, k: int | None = None) -> float:
    """F1 of the ``k`` most relevant units against the rationale; None: as many as it has.

    Source: DeYoung et al. 2020 (ERASER), arXiv:1911.03429.
    """
    values, marked = _checked(scores, mask)
    if not _telling(marked):
        return float("nan")
    k = int(marked.sum()) if k is None else min(k, len(values))
    return 2 * _hits(values, marked, k) / (k + int(marked.sum()))


def iou(scores: Any, mask: Any, k: int | None = None) -> float:
    """Intersection over union of the same two sets."""
    values, marked = _checked(scores, mask)
    if not _telling(marked):
        return float("nan")
    k = int(marked.sum()) if k is None else min(k, len(values))
    both = _hits(values, marked, k)
    return both / (k + int(marked.sum()) - both)


def agreement(scores: Any, mask: Any) -> dict[str, float]:
    """All of the above by name."""
    return {
        "pointing_game": pointing_game(scores, mask),
        "mass_accuracy": mass_accuracy(scores, mask),
        "rank_accuracy": rank_accuracy(scores, mask),
        "auprc": auprc(scores, mask),
        "token_f1": token_f1(scores, mask),
        "iou": iou(scores, mask),
    }


def unit_masks(task: Task, batch: Batch) -> list[Mask | None]:
    """What people marked, per sample as a bool a unit; None for samples without a mask.

    Of a text: a 0/1 (or bool) for each word, or the indices of the marked words.  Of an image: a
    mask of its pixels [height, width], which goes the way of the image through the preprocessing
    and marks a patch that it covers by at least half, or one number a patch.

    Raises:
        InputError: a mask of another form; the message names the sample.
    """
    return [
        None if row.mask is None else _unit_mask(task, batch, i, row)
        for i, row in enumerate(batch.rows)
    ]


def _unit_mask(task: Task, batch: Batch, i: int, row: Row) -> Mask:
    units = batch.units[i]
    given: Any = row.mask
    values = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
    image: Any = task if task.kind == "image" else None
    if image is not None and values.ndim == 2:
        grid = image.grid(batch.inputs["pixels"])
        if values.shape != (grid.rows, grid.cols):
            return _pixel_mask(task, batch, i, values)
    flat = values.flatten()
    if flat.shape == (units,) and (flat.dtype == np.bool_ or np.isin(flat, (0, 1)).all()):
        return flat.astype(np.bool_)
    whole = flat.size == 0 or np.issubdtype(flat.dtype, np.integer)
    if values.ndim == 1 and whole and ((flat >= 0) & (flat < units)).all():
        made = np.zeros(units, dtype=np.bool_)
        made[flat.astype(np.int64)] = True
        return made
    raise InputError(
        f"sample {row.id!r}: expected a mask of 0 and 1 for each of its {units} units, or indices "
        f"of them{', or of its pixels [height, width]' if image else ''}, got shape {values.shape}"
    )


def _pixel_mask(task: Any, batch: Batch, i: int, values: Any) -> Mask:
    from PIL import Image

    image = batch.details[i] if batch.details else None
    size = values.shape if image is None else image.size
    if values.shape != size:
        raise InputError(
            f"sample {batch.rows[i].id!r}: expected a mask of the image's {size[0]} x {size[1]} "
            f"pixels (height x width), got {values.shape[0]} x {values.shape[1]}"
        )
    if image is not None and image.made:
        unit = torch.from_numpy(values > 0).float()
    else:
        grey = Image.fromarray(((values > 0) * 255).astype("uint8")).convert("RGB")
        low, high = task.image.preprocess.bounds
        unit = ((task.image.preprocess(grey) - low) / (high - low)).mean(0)
    cells = task.grid(unit)
    covered = cells.sum(unit) / cells.sum(torch.ones_like(unit))
    made: Mask = (covered.flatten() >= 0.5).numpy()
    return made


def _checked(scores: Any, mask: Any) -> tuple[Array, Mask]:
    raw = scores.detach().cpu() if isinstance(scores, Tensor) else scores
    values, marked = np.asarray(raw, dtype=np.float64), np.asarray(mask).astype(np.bool_)
    if values.ndim != 1 or values.shape != marked.shape:
        raise InputError(
            f"expected scores and a mask of the same units, got shapes {values.shape} and "
            f"{marked.shape}"
        )
    return values, marked


def _telling(marked: Mask) -> bool:
    return bool(marked.any()) and not bool(marked.all())


def _hits(values: Array, marked: Mask, k: int) -> float:
    """How many of the k most relevant units are marked; ties as on average over their orders."""
    if k < 1:
        return 0.0
    least = np.sort(values)[::-1][k - 1]
    above, tied = values > least, values == least
    share = (k - above.sum()) / tied.sum()
    return float(marked[above].sum() + share * marked[tied].sum())
