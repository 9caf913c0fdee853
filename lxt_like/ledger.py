"""The ledger: where the score went, entry by entry; and the audit: operation by operation.

    gap     = score - inputs - sum of the declared entries                       must be 0
    unruled = sum over operations of |measured residual - declared residual|     must be 0

Entries are declared by the rules in closed form, never filled with a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .explanation import Account
from .intercept.measure import Measure
from .intercept.records import Record


@dataclass(frozen=True)
class Ledger:
    """The account of a batch; every tensor is float64 of shape [batch].

    Attributes:
        score: what was explained.
        inputs: relevance that reached the explained inputs.
        entries: relevance that each cause kept (see ``lxt.rules.CAUSES``).
        unruled: relevance gained or lost where no rule declared it; 0 up to rounding.
        gap: what is left of the score; 0 up to rounding.
        positions: the entry ``position`` token by token, [batch, tokens] for each module that adds
            learned or sinusoidal positions to embeddings (an encoder, a decoder), by its path.
        moved: the most that arrived at one operation: where branches cancel, more than the score.
        backwards: how many backwards it took: 1; 3 to tell the samples of a batch apart whose
            accounts do not close to 5e-5 (half precision, the plain gradient); one for each sample
            and another where that cannot be told (they lie on another axis, or experts take tokens
            of several): such a model is explained faster one by one.
    """

    score: Tensor
    inputs: Tensor
    entries: Mapping[str, Tensor]
    unruled: Tensor
    gap: Tensor
    positions: Mapping[str, Tensor] = field(default_factory=dict)
    moved: Tensor | None = None
    backwards: int = 1

    def account(self, i: int) -> Account:
        """Sample ``i`` as plain numbers."""
        return Account(
            score=float(self.score[i]),
            inputs=float(self.inputs[i]),
            entries={cause: float(v[i]) for cause, v in self.entries.items()},
            unruled=float(self.unruled[i]),
            gap=float(self.gap[i]),
        )

    @property
    def closed(self) -> bool:
        """Whether gap and unruled are below 1e-4 of what came out, for every sample.

        That is |score| + |inputs| + |entries|, and a tenth of ``moved``: what branches round that
        cancel is no leak.
        """
        return self.closed_to(1e-4)

    def closed_to(self, share: float) -> bool:
        """The same for another ``share``."""
        scale = self.score.abs() + self.inputs.abs()
        for v in self.entries.values():
            scale = scale + v.abs()
        if self.moved is not None:
            scale = scale + self.moved / 10
        return bool(((self.gap.abs() + self.unruled) <= share * scale.clamp_min(1e-12)).all())

    def __str__(self) -> str:
        rows = [("inputs", self.inputs), *self.entries.items(), ("gap", self.gap)]
        rows += [("score", self.score), ("unruled", self.unruled)]
        width = max(len(name) for name, _ in rows)
        lines = []
        for name, values in rows:
            if name == "score":
                lines.append("-" * (width + 1 + 13 * len(values)))
            cells = "".join(f"{float(v):>+13.6g}" for v in values)
            lines.append(f"{name:<{width}} {cells}")
        return "\n".join(lines)


def make_ledger(
    measure: Measure, score: Tensor, inputs: Tensor, extra: Iterable[tuple[str, Tensor]]
) -> Ledger:
    """Sum up the records of ``measure``; ``extra``: entries of the target and the inputs."""
    n = len(score)
    entries: dict[str, Tensor] = {}
    unruled, moved = torch.zeros(2, n, dtype=torch.float64)
    for record in measure.records:
        for cause, amounts in record.declared.items():
            into = entries.setdefault(cause, torch.zeros(n, dtype=torch.float64))
            for sample, amount in amounts.items():
                into[sample] += amount
        for sample in range(n):
            unruled[sample] += abs(record.residual(sample))
            moved[sample] = max(float(moved[sample]), abs(record.arrived.get(sample, 0.0)))
    for cause, values in extra:
        zero = torch.zeros(n, dtype=torch.float64)
        entries[cause] = entries.get(cause, zero) + values.detach().double().cpu()
    entries = {cause: v for cause, v in entries.items() if bool((v != 0).any())}
    score = score.detach().double().cpu()
    inputs = inputs.detach().double().cpu()
    gap = score - inputs - sum(entries.values(), torch.zeros(n, dtype=torch.float64))
    return Ledger(score, inputs, entries, unruled, gap, _stacked(measure.sums.positions, n), moved)


def _stacked(
    positions: Mapping[tuple[str, int], Mapping[int, Tensor]], n: int
) -> dict[str, Tensor]:
    """The samples' vectors as one tensor a module; by its length too, where it has several."""
    paths = [path for path, _ in positions]
    return {
        path if paths.count(path) == 1 else f"{path} ({length} tokens)": torch.stack(
            [found[i] for i in range(n)]
        )
        for (path, length), found in positions.items()
        if all(i in found for i in range(n))
    }


@dataclass(frozen=True)
class AuditRow:
    """One operation: what arrived at it over the batch, what was declared, and the residual."""

    op: str
    path: str
    kind: str
    rule: str
    arrived: float
    declared: Mapping[str, float]
    residual: float


@dataclass(frozen=True)
class Audit:
    """Every operation that ran, its rule and its share; ``ok`` if the whole account closes."""

    rows: Sequence[AuditRow]
    ledger: Ledger

    @property
    def ok(self) -> bool:
        """Whether nothing is unruled and the ledger closes."""
        return self.ledger.closed

    def __str__(self) -> str:
        out = [f"{'op':<28} {'kind':<10} {'relevance':>12} {'kept':>12} {'residual':>10}  module"]
        for r in self.rows:
            kept = sum(r.declared.values())
            out.append(
                f"{r.op[-28:]:<28} {r.kind:<10} {r.arrived:>+12.4g} {kept:>+12.4g} "
                f"{r.residual:>10.1e}  {r.path}"
            )
        verdict = "ok: the account closes" if self.ok else "NOT ok: the account does not close"
        return "\n".join([*out, "", str(self.ledger), "", verdict])


def make_rows(records: Sequence[Record], samples: int) -> list[AuditRow]:
    """The records that carried relevance, in execution order."""
    rows = []
    for r in records:
        arrived = sum(r.arrived.values())
        if not r.arrived:
            continue
        declared = {cause: sum(v.values()) for cause, v in r.declared.items()}
        residual = sum(abs(r.residual(i)) for i in range(samples))
        rows.append(AuditRow(r.op, r.path, r.kind, r.rule, arrived, declared, residual))
    return rows
