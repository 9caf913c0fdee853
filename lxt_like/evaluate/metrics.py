"""What follows from the removal curves of one sample, and the checks that need other removals.

With n units, target fixed on the clean input, score g (logit or probability), m(k) the score
without the k most relevant units and l(k) without the k least relevant, A the area under a curve
over the share k / n (trapezoids; the mean score if all shares were as likely):

    deletion = A(m)            lower is better
    insertion = A(l)           higher is better: insertion(k) = l(n - k) has the same area
    SRG = A(l) - A(m)          0 for a random order, the headline (Blücher et al. 2024)
    comprehensiveness(k) = g - m(k)         the k most relevant removed
    sufficiency(k) = g - l(n - k)           the k most relevant alone
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .removal import Array, Curve, draw, forwards, operator_of
from .task import Batch, Task

BINS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""The shares of units that comprehensiveness and sufficiency are averaged over (ERASER)."""
SUBSETS, SHARE = 200, 0.2
"""Of mu-fidelity: how many random sets, and of which share of the units."""


def area(fraction: Array, values: Array) -> float:
    """The area under ``values`` over ``fraction`` (0 to 1), by trapezoids."""
    if len(values) == 1:  # no unit: nothing can be removed
        return float(values[0])
    return float(np.trapezoid(values, fraction))


def deletion(curve: Curve, of: str = "logit") -> float:
    """Area under the curve of removing the most relevant first; lower is better."""
    return area(curve.fraction, _values(curve, "morf", of))


def insertion(curve: Curve, of: str = "logit") -> float:
    """Area under the curve of inserting the most relevant first, which is that of removing the
    least relevant first; higher is better."""
    return area(curve.fraction, _values(curve, "lerf", of))


def srg(curve: Curve, of: str = "logit") -> float:
    """Symmetric relevance gain, or area between the curves: insertion - deletion.

    Source: Blücher et al. 2024 (arXiv:2401.06654); as ABPC in Achtibat et al. 2024.
    """
    return insertion(curve, of) - deletion(curve, of)


def comprehensiveness_at(curve: Curve, k: float, of: str = "probability") -> float:
    """g - m(k); between measured points linear."""
    values = _values(curve, "morf", of)
    return float(values[0] - np.interp(k, curve.k, values))


def sufficiency_at(curve: Curve, k: float, of: str = "probability") -> float:
    """g - l(n - k); between measured points linear."""
    values = _values(curve, "lerf", of)
    return float(values[0] - np.interp(curve.units - k, curve.k, values))


def comprehensiveness(curve: Curve, of: str = "probability") -> float:
    """The mean of :func:`comprehensiveness_at` over 1, 5, 10, 20 and 50 % of the units (rounded
    up); higher is better.  Source: DeYoung et al. 2020 (ERASER), arXiv:1911.03429."""
    return float(np.mean([comprehensiveness_at(curve, k, of) for k in _bins(curve.units)]))


def sufficiency(curve: Curve, of: str = "probability") -> float:
    """The mean of :func:`sufficiency_at` over the same shares; lower is better."""
    return float(np.mean([sufficiency_at(curve, k, of) for k in _bins(curve.units)]))


def aopc(curve: Curve, of: str = "logit") -> float:
    """The mean loss over the whole curve, g - deletion; higher is better.

    Source: Samek et al. 2017, arXiv:1509.06321.
    """
    return float(_values(curve, "morf", of)[0]) - deletion(curve, of)


def aopc_lerf(curve: Curve, of: str = "logit") -> float:
    """The same with the least relevant first, g - insertion; lower is better."""
    return float(_values(curve, "lerf", of)[0]) - insertion(curve, of)


def curve_metrics(curve: Curve) -> dict[str, float]:
    """All numbers of one curve by the name of their column."""
    return {
        "srg": srg(curve),
        "insertion": insertion(curve),
        "deletion": deletion(curve),
        "srg_probability": srg(curve, "probability"),
        "insertion_probability": insertion(curve, "probability"),
        "deletion_probability": deletion(curve, "probability"),
        "comprehensiveness": comprehensiveness(curve),
        "sufficiency": sufficiency(curve),
        "aopc": aopc(curve),
        "aopc_lerf": aopc_lerf(curve),
    }


def _values(curve: Curve, way: str, of: str) -> Array:
    found: Array = getattr(curve, f"{way}_{of}")
    return found


def _bins(units: int) -> list[float]:
    # 0.1 * 30 is a little more than 3
    return [float(np.ceil(round(share * units, 9))) for share in BINS]


def single_removals(
    task: Task, batch: Batch, operator: str, batch_size: int | None = None
) -> list[Array]:
    """What the watched logit loses without each unit alone, per sample [units]."""
    sets = [row for n in batch.units for row in np.eye(n, dtype=bool)]
    samples = [i for i, n in enumerate(batch.units) for _ in range(n)]
    return _losses(task, batch, operator, samples, sets, batch_size)


def tau_loo(losses: Sequence[Array], scores: Sequence[Tensor]) -> list[float]:
    """Kendall's tau-b between the scores and the losses without each unit alone.

    NaN where all scores or all losses are equal, or there are fewer than two units.
    """
    return [
        kendall(np.asarray(s.detach().cpu(), dtype=np.float64), lost)
        for s, lost in zip(scores, losses, strict=True)
    ]


def mu_fidelity(
    task: Task,
    batch: Batch,
    scores: Sequence[Tensor],
    operator: str,
    *,
    seed: int = 0,
    batch_size: int | None = None,
) -> list[float]:
    """Pearson's correlation between a set's summed scores and the loss without the set.

    200 random sets of 20 % of the units (at least one).  NaN where either does not vary.

    Source: Bhatt et al. 2020, arXiv:2005.00631.
    """
    sets: list[np.ndarray[Any, Any]] = []
    samples: list[int] = []
    for i, (n, row) in enumerate(zip(batch.units, batch.rows, strict=True)):
        size = max(1, round(SHARE * n))
        order = draw(row.id, seed).random((SUBSETS if n > 1 else 0, n)).argsort(1)
        sets += [*(order < size)]
        samples += [i] * len(order)
    losses = _losses(task, batch, operator, samples, sets, batch_size)
    found, start = [], 0
    for lost, given in zip(losses, scores, strict=True):
        values = np.asarray(given.detach().cpu(), dtype=np.float64)
        sums = [float(values[s].sum()) for s in sets[start : start + len(lost)]]
        start += len(lost)
        found.append(pearson(np.array(sums), lost))
    return found


def _losses(
    task: Task,
    batch: Batch,
    operator: str,
    samples: list[int],
    sets: list[np.ndarray[Any, Any]],
    batch_size: int | None,
) -> list[Array]:
    """Per sample what its score loses in each of its rows."""
    logits = forwards(task, batch, operator_of(task, operator), samples, sets, batch_size)
    at = np.array(samples, dtype=np.int64)
    picked = logits.double().cpu().numpy()
    targets = batch.targets.cpu().numpy()
    clean = batch.score.cpu().numpy()
    return [clean[i] - picked[at == i, targets[i]] for i in range(len(batch))]


def kendall(a: Array, b: Array) -> float:
    """Kendall's tau-b of two rankings [n]; NaN if one of them is constant."""
    upper = np.triu_indices(len(a), 1)
    x, y = (np.sign(v[:, None] - v[None])[upper] for v in (a, b))
    scale = np.sqrt(float((x != 0).sum()) * float((y != 0).sum()))
    return float((x * y).sum() / scale) if scale else float("nan")


def pearson(a: Array, b: Array) -> float:
    """Pearson's correlation; NaN if either does not vary."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
