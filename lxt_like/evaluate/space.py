"""The composites that tuning searches: attention, gamma early to late, the first operation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..attribution import plan
from ..composites import CPLRP, Assign, AttnLRP, Composite
from ..rules import Flat, Gamma, Rule, WSquare, ZBox
from .task import Batch, Task

GAMMAS = (0.0, 0.05, 0.25, 1.0)
ATTENTION = {"attnlrp": AttnLRP, "cp_lrp": CPLRP}
PARTS = ("early", "middle", "late")
"""Thirds of the linear operations in execution order."""


@dataclass(frozen=True)
class Choice:
    """One point of the search; the default is AttnLRP itself.

    Attributes:
        attention: ``"attnlrp"`` or ``"cp_lrp"``.
        early, middle, late: gamma in a third of the linear operations, 0: none.
        first: the rule of the first linear operation: ``"same"`` as early, ``"gamma 1"``,
            ``"z_box"``, ``"flat"`` or ``"w_square"``.
    """

    attention: str = "attnlrp"
    early: float = 0.0
    middle: float = 0.0
    late: float = 0.0
    first: str = "same"

    def __str__(self) -> str:
        gammas = ", ".join(f"{getattr(self, part):g}" for part in PARTS)
        return f"{self.attention}, gamma {gammas}, first {self.first}"


@dataclass(frozen=True)
class Space:
    """What may be chosen for a model.

    Attributes:
        linear: how many linear operations a forward has.
        firsts: rules that can stand at the first one.
    """

    linear: int
    firsts: dict[str, Rule | None]

    def neighbours(self, at: Choice, coordinate: str) -> list[Choice]:
        """All other values of one coordinate."""
        values: Any
        if coordinate == "attention":
            values = ATTENTION
        elif coordinate == "first":
            values = self.firsts
        else:
            values = GAMMAS
        return [
            replace(at, **{coordinate: value})
            for value in values
            if value != getattr(at, coordinate)
        ]

    @property
    def coordinates(self) -> list[str]:
        """The coordinates that have something to choose, the most telling first."""
        wide = ["early", "middle", "late"] if self.linear >= len(PARTS) else ["early"]
        return ["attention", *(["first"] if len(self.firsts) > 1 else []), *wide]

    def composite(self, choice: Choice) -> Composite:
        """The composite of a choice."""
        base = ATTENTION[choice.attention]()
        more: list[Assign] = []
        for i, part in enumerate(PARTS):
            gamma = getattr(choice, part)
            if gamma and self.linear >= len(PARTS):
                start, stop = (self.linear * j // len(PARTS) for j in (i, i + 1))
                more.append(Assign(Gamma(gamma), kind="linear", where=range(start, stop)))
            elif gamma and i == 0:
                more.append(Assign(Gamma(gamma), kind="linear"))
        rule = self.firsts[choice.first]
        if rule is not None:
            more.append(Assign(rule, kind="linear", where="first"))
        return base + more if more else base


def space_of(task: Task, batch: Batch) -> Space:
    """What there is to choose for a model, found by watching one forward."""
    steps = plan(task.model, "attnlrp", task.call(batch.select([0]).inputs)).rows
    linear = sum(row.kind in ("linear", "conv") for row in steps)
    firsts: dict[str, Rule | None] = {"same": None}
    if task.kind == "image":
        # first-layer rules hand relevance to the pixels; words have none to hand it to
        image: Any = task
        low, high = image.image.preprocess.bounds
        firsts |= {
            "gamma 1": Gamma(1.0),
            "z_box": ZBox(low, high),
            "flat": Flat(),
            "w_square": WSquare(),
        }
    return Space(linear, firsts)
