"""Whether an explanation depends on the model at all, and whether it adds up.

The user's model is never touched: what is randomised is a copy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..attribution import attribute
from ..composites import Composite
from ..explain.batches import evaluation_mode
from .methods.gradients import trimmed
from .metrics import pearson
from .removal import Array
from .task import Batch, Task

_BINS = 100
Remake = Callable[[Task], Callable[[Task, Batch], list[Tensor]]]
"""From a task to the method for it: methods that keep modules must be made anew."""


@dataclass(frozen=True)
class Mprt:
    """Bottom-up model parameter randomisation.

    Attributes:
        layers: modules in the order in which their weights were randomised, cumulatively.
        similarity: [layers, B], Spearman's correlation of the scores with those of the intact
            model; a good method falls to 0 early.
    """

    layers: tuple[str, ...]
    similarity: Array

    @property
    def mean(self) -> float:
        """Over layers and samples; NaN where no sample's scores vary."""
        return _nanmean(self.similarity)


def emprt(task: Task, batch: Batch, make: Remake, *, seed: int = 0) -> list[float]:
    """(H_random - H) / H per sample, H the entropy of the scores' histogram (100 bins).

    Above 0: the explanation of a model with random weights is more complex, as it should be.  NaN
    where H is 0.  Source: Hedström et al. 2024, arXiv:2405.02383 (eMPRT).

    Args:
        make: from a task to a method for it, such as ``lambda t: make_methods(t, name)[0][0]``.
    """
    random = task.with_model(_copied(task.model))
    randomise(random.model, [name for name, _ in _layers(random.model)], seed)
    before = make(task)(task, batch)
    after = make(random)(random, batch)
    return [
        (entropy(b) - entropy(a)) / entropy(a) if entropy(a) else float("nan")
        for a, b in zip(before, after, strict=True)
    ]


def mprt(task: Task, batch: Batch, make: Remake, *, seed: int = 0, most: int | None = None) -> Mprt:
    """Weights randomised layer by layer from the input to the output, each time explained again.

    The scores are of the same target class throughout.

    Args:
        most: at about so many evenly chosen layers the scores are compared; None: at all.

    Source: Adebayo et al. 2018, arXiv:1810.03292; bottom-up as in Hedström et al. 2024.
    """
    random = task.with_model(_copied(task.model))
    before = make(task)(task, batch)
    names = [name for name, _ in _layers(random.model)]
    count = len(names) if most is None else min(most, len(names))
    stops = set(np.linspace(len(names), 1, max(1, count)).round().astype(int).tolist())
    rows, kept = [], []
    for i, name in enumerate(names, 1):
        randomise(random.model, [name], seed + i)
        if i in stops:
            after = make(random)(random, batch)
            rows.append([spearman(a, b) for a, b in zip(before, after, strict=True)])
            kept.append(name)
    return Mprt(tuple(kept), np.array(rows, dtype=np.float64).reshape(len(rows), len(batch)))


def conservation_error(
    task: Task, batch: Batch, composite: str | Composite = "attnlrp"
) -> list[tuple[float, float]]:
    """Per sample |score - inputs| / |score| and |gap| / |score| of a composite's account.

    The first is what the inputs do not explain (biases, positions, what softmax absorbed, ...); the
    second what the ledger cannot explain either: rounding, and operations without a rule.
    """
    found = []
    with evaluation_mode(task.model):
        for i in range(len(batch)):
            one = trimmed(batch.select([i]))
            inputs = task.call(one.inputs)
            a = attribute(task.model, inputs, one.targets, composite, ledger=True, strict=False)
            assert a.ledger is not None
            account = a.ledger.account(0)
            scale = abs(account.score) or float("nan")
            lost = abs(account.gap) + abs(account.unruled)
            found.append((abs(account.score - account.inputs) / scale, lost / scale))
    return found


def randomise(model: nn.Module, names: Sequence[str], seed: int) -> None:
    """New random weights in the named modules, in place: their own values, shuffled.

    Every parameter keeps its mean, spread and norm, so that activations stay of a usual size;
    one whose values are all equal (a fresh norm's scale or bias) is drawn around them.
    """
    modules = dict(model.named_modules())
    with torch.no_grad():
        for k, name in enumerate(names):
            for p in modules[name].parameters(recurse=False):
                generator = torch.Generator().manual_seed(seed * 100_003 + k)
                flat = p.detach().flatten()
                if p.numel() < 2 or bool((flat == flat[0]).all()):
                    noise = torch.randn(p.shape, generator=generator).to(p)
                    p.add_(0.02 * noise)
                    continue
                order = torch.randperm(p.numel(), generator=generator).to(p.device)
                p.copy_(flat[order].reshape(p.shape))


def entropy(scores: Tensor) -> float:
    """The entropy, in nats, of the histogram of one sample's scores (100 bins over their range)."""
    values = np.asarray(scores.detach().cpu(), dtype=np.float64)
    if len(values) == 0 or np.ptp(values) == 0:
        return 0.0
    counts = np.histogram(values, bins=_BINS)[0]
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def spearman(a: Any, b: Any) -> float:
    """Spearman's rank correlation, ties by their mean rank; NaN if either does not vary."""
    return pearson(_ranks(a), _ranks(b))


def _ranks(values: Any) -> Array:
    raw = values.detach().cpu() if isinstance(values, Tensor) else values
    _, place, counts = np.unique(
        np.asarray(raw, dtype=np.float64), return_inverse=True, return_counts=True
    )
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[place], dtype=np.float64)


def _copied(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).requires_grad_(False)


def _layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules with weights of their own, inputs first, as far as they are written in order."""
    return [(n, m) for n, m in model.named_modules() if [*m.parameters(recurse=False)]]


def _nanmean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
