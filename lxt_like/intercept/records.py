"""The record of one operation that ran, and the values that it needs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from torch import Tensor


class Cell:
    """A value as it was; cloned when its storage is about to be overwritten."""

    __slots__ = ("__weakref__", "value")

    def __init__(self, value: Tensor) -> None:
        self.value = value.detach()


@dataclass
class Record:
    """One operation that ran: sums per sample of what arrived, passed on, and was declared."""

    op: str
    kind: str
    path: str
    rule: str = ""
    arrived: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    passed: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    declared: dict[str, dict[int, float]] = field(default_factory=dict)

    def kept(self, cause: str) -> dict[int, float]:
        """What was declared under ``cause``, per sample: to be added to."""
        return self.declared.setdefault(cause, defaultdict(float))

    def residual(self, sample: int) -> float:
        """Measured minus declared residual: 0 for an operation that is ruled right."""
        kept = sum(amounts[sample] for amounts in self.declared.values())
        return self.arrived[sample] - self.passed[sample] - kept
