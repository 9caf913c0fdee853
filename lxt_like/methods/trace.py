"""The layer trace: relevance layer by layer, and where a decision turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..attribution import Attribution, attribute
from ..composites import Composite
from ..observe import AnyOf
from ..patch.inputs import module_of

_MANY = 24


@dataclass(frozen=True)
class TraceRow:
    """One layer's relevance at its output, each number per sample.

    ``positive`` and ``negative`` are the sums of what speaks for and against the target, ``net``
    their sum, ``size`` the sum of absolute values.
    """

    layer: str
    positive: tuple[float, ...]
    negative: tuple[float, ...]

    @property
    def net(self) -> tuple[float, ...]:
        return tuple(p + n for p, n in zip(self.positive, self.negative, strict=True))

    @property
    def size(self) -> tuple[float, ...]:
        return tuple(p - n for p, n in zip(self.positive, self.negative, strict=True))


@dataclass(frozen=True)
class Trace:
    """Relevance from the input (first row) to the last layer, in execution order.

    Attributes:
        rows: one for each layer.
        score: what was explained, per sample.
        labels: of the target, per sample.
    """

    rows: tuple[TraceRow, ...]
    score: tuple[float, ...]
    labels: tuple[str, ...]

    def turns(self, i: int = 0) -> list[str]:
        """The layers at whose output the net relevance has another sign than before."""
        found = []
        for before, row in zip(self.rows, self.rows[1:], strict=False):
            if before.net[i] * row.net[i] < 0:
                found.append(row.layer)
        return found

    def amplified(self, i: int = 0) -> list[tuple[str, float]]:
        """(layer, gain of |net| over the layer before), largest gain first."""
        gains = [
            (row.layer, abs(row.net[i]) - abs(before.net[i]))
            for before, row in zip(self.rows, self.rows[1:], strict=False)
        ]
        return sorted(gains, key=lambda gain: -gain[1])

    def __str__(self) -> str:
        width = max(len(row.layer) for row in self.rows)
        lines = []
        for i, (label, score) in enumerate(zip(self.labels, self.score, strict=True)):
            lines.append(f"{label}: score {score:+.4g}")
            lines.append(f"{'layer':<{width}} {'for':>11} {'against':>11} {'net':>11}")
            turned = set(self.turns(i))
            for row in self.rows:
                mark = "  turns" if row.layer in turned else ""
                cells = (row.positive[i], row.negative[i], row.net[i])
                lines.append(
                    f"{row.layer:<{width}} " + " ".join(f"{v:>+11.4g}" for v in cells) + mark
                )
        return "\n".join(lines)


def trace(
    model: Any,
    inputs: Any,
    target: Any = None,
    composite: str | Composite = "attnlrp",
    *,
    layers: Sequence[str] | None = None,
    strict: bool = True,
) -> Trace:
    """How relevance builds up from layer to layer, from one forward and one backward.

    Args:
        model, inputs, target, composite, strict: as for :func:`lxt.attribute`; a contrast shows
            where the decision between two classes turns.
        layers: names or globs; by default every layer of a small model, and the blocks of a deep
            one.

    The output of a convolution whose BatchNorm was merged into it holds no relevance of its own:
    look at the BatchNorm's.
    """
    module = module_of(model)
    chosen = AnyOf(default_layers(module)) if layers is None else layers
    found = attribute(model, inputs, target, composite, strict=strict, layers=chosen)
    rows = [_row("input", found)] + [_of(name, r) for name, r in found.layers.items()]
    labels = tuple(found.target.labels)
    return Trace(tuple(rows), tuple(found.score.tolist()), labels)


def _row(name: str, found: Attribution) -> TraceRow:
    given = found.relevance
    parts = list(given.values()) if isinstance(given, dict) else [given]
    rows = [_of(name, r) for r in parts]
    return TraceRow(
        name,
        tuple(map(sum, zip(*(r.positive for r in rows), strict=True))),
        tuple(map(sum, zip(*(r.negative for r in rows), strict=True))),
    )


def _of(name: str, r: Tensor) -> TraceRow:
    flat = r.detach().double().reshape(len(r), -1)
    return TraceRow(
        name,
        tuple(flat.clamp(min=0).sum(-1).tolist()),
        tuple(flat.clamp(max=0).sum(-1).tolist()),
    )


def default_layers(module: nn.Module) -> list[str]:
    """Every module that computes; of deep models the repeated blocks and what is beside them."""
    leaves = [
        name
        for name, m in module.named_modules()
        if name and not list(m.children()) and not isinstance(m, (nn.Identity, nn.Dropout))
    ]
    if len(leaves) <= _MANY:
        return leaves
    stacks = [
        (name, m)
        for name, m in module.named_modules()
        if isinstance(m, (nn.ModuleList, nn.Sequential)) and len(m) > 1
    ]
    blocks = [(n, m) for n, m in stacks if all(list(b.children()) for b in m)]
    if not blocks:
        return leaves
    most = max(len(m) for _, m in blocks)
    chosen = [n for n, m in blocks if len(m) == most][:1]
    if most < 4:  # stages of blocks
        chosen = [n for n, m in blocks]
    names = [f"{n}.{i}" for n, m in stacks if n in chosen for i in range(len(m))]
    inside = tuple(f"{n}." for n in chosen)
    return [n for n in leaves if not n.startswith(inside)] + names


def total(relevance: Tensor) -> Tensor:
    """Sum over everything but the batch."""
    return torch.as_tensor(relevance).flatten(1).sum(1)
