from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lxt_like as lxt
from lxt_like.composites import Composite
from lxt_like.errors import InputError, RuleError
from lxt_like.evaluate import tuning as module
from lxt_like.evaluate.run import task_of
from lxt_like.evaluate.space import Choice, Space, space_of
from lxt_like.rules import Gamma, ZBox

from . import tiny

GOAL = Choice("cp_lrp", 0.25, 0.0, 1.0, "z_box")


class Invented:
    """A measure that knows the best choice, with noise that differs between the halves."""

    def __init__(self, gain: float, spread: float = 0.01) -> None:
        self.gain, self.spread, self.asked = gain, spread, 0
        self.space = Space(9, {"same": None, "z_box": ZBox(-1.0, 1.0), "flat": None})

    def __call__(self, composite: Composite) -> Any:
        self.asked += 1
        rng = np.random.default_rng(self.asked)
        for choice in self.choices():
            if self.space.composite(choice) == composite:
                right = sum(
                    getattr(choice, name) == getattr(GOAL, name) for name in self.space.coordinates
                )
                return self.gain * right + rng.normal(0, self.spread, 20)
        raise RuleError("no such choice")

    def choices(self) -> list[Choice]:
        found = {Choice()}
        for _ in range(2):
            for name in self.space.coordinates:
                found |= {n for c in found for n in self.space.neighbours(c, name)}
        return [*found]


def test_the_search_finds_what_is_best() -> None:
    measure: Any = Invented(1.0)
    trials = module._search(measure.space, measure, 40, None)
    best = max(trials.values(), key=lambda t: t.srg or 0.0)
    assert best.choice == GOAL
    assert measure.asked == len(trials) < 25
    assert len(module._search(measure.space, measure, 3, None)) == 3


def test_composites_of_choices() -> None:
    space = Invented(1).space
    assert space.composite(Choice()) == lxt.composites.AttnLRP()
    made = space.composite(GOAL).assignments
    assert [(type(a.rule), a.where) for a in made[-3:]] == [
        (Gamma, range(3)), (Gamma, range(6, 9)), (ZBox, "first"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["image", "text"])
def test_tuning_a_tiny_model(
    kind: str, vit_folder: Path, bert_folder: Path, tmp_path: Path
) -> None:
    model = vit_folder if kind == "image" else bert_folder
    data: Any = tiny.pictures(tmp_path, 12) if kind == "image" else ["a good film", "bad"] * 6
    task = task_of(model, kind)
    seen: list[tuple[int, int]] = []
    found = lxt.tune(task, data, budget=6, steps=4, progress=lambda *at: seen.append(at))
    assert seen[-1] == (6, 6)
    assert len(found.table) == 6
    assert found.samples == (6, 6)
    assert [t.srg for t in found.table] == sorted((t.srg for t in found.table), reverse=True)  # type: ignore[type-var]
    code = str(found).split("composite = ")[1]
    assert eval(code, {"lxt": lxt}) == found.composite
    if not found.changed:
        assert found.composite == lxt.composites.AttnLRP()
    # it can be evaluated, and has the numbers that the table says
    report = lxt.evaluate(task, data, methods=[("tuned", found.composite)], steps=4)
    assert report.table[0]["n"] == 12


def test_the_rules_of_a_space_are_met(vit_folder: Path) -> None:
    task: Any = task_of(vit_folder, "image")
    space = space_of(task, task.probe())
    # patches, q k v o and two of the feed-forward in each layer, the classifier
    assert space.linear == 1 + 2 * 6 + 1
    assert "z_box" in space.firsts


@pytest.mark.parametrize(("held_out", "used"), [(0.5, True), (0.0, False), (-0.5, False)])
def test_the_guard(
    held_out: float, used: bool, bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of the search is used only where it is surely better on the other half."""
    made: list[Any] = []

    class Fake:
        def __init__(self, task: Any, batches: Any, *_: Any) -> None:
            self.gain = 1.0 if not made else held_out  # the searched half, then the other
            self.batches = batches
            made.append(self)

        def __call__(self, composite: Composite) -> Any:
            default = composite == lxt.composites.AttnLRP()
            rng = np.random.default_rng(len(repr(composite)))
            return (0.0 if default else self.gain) + rng.normal(0, 0.3, 6)

    monkeypatch.setattr(module, "_Measure", Fake)
    found = lxt.tune(bert_folder, ["a good film", "bad"] * 6, budget=4)
    assert found.best != Choice()
    assert found.changed is used
    assert (found.composite == lxt.composites.AttnLRP()) is not used
    assert ("it is used" in str(found)) is used


def test_too_few(bert_folder: Path) -> None:
    with pytest.raises(InputError, match="at least 8 samples that can be read, got 2"):
        lxt.tune(bert_folder, ["good", "bad"])
    with pytest.raises(InputError, match="budget"):
        lxt.tune(bert_folder, ["good"] * 9, budget=0)
