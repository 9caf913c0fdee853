"""A folder is gone on with for the same samples and the same functions alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.evaluate import Columns
from lxt_like.evaluate.methods import Method

from .test_run import QUICK, TEXTS, lengths, timeless


def test_a_folder_is_of_one_composite_and_of_one_set_of_masks(
    bert_folder: Path, tmp_path: Path
) -> None:
    one, other = lxt.composites.AttnLRP(), lxt.composites.EpsilonPlus()
    kept: dict[str, Any] = {"out": tmp_path / "a", "steps": 3}
    first = lxt.evaluate(bert_folder, TEXTS, methods=[("mine", one)], **kept)
    again = lxt.evaluate(bert_folder, TEXTS, methods=[("mine", lxt.composites.AttnLRP())], **kept)
    assert timeless(first) == timeless(again)
    for given in (other, "epsilon_plus", "gradient", lengths):
        with pytest.raises(InputError, match=r"other settings \(methods\)"):
            lxt.evaluate(bert_folder, TEXTS, methods=[("mine", given)], **kept)

    def marked(text: str, mask: Any, name: str = "x") -> list[dict[str, Any]]:
        return [{"text": text, "mask": mask, "id": name}]

    kept = {"out": tmp_path / "b", "columns": Columns(mask="mask"), **QUICK}
    mask = [0, 1, 0]
    lxt.evaluate(bert_folder, marked("a good film", mask), **kept)
    lxt.evaluate(bert_folder, marked("a good film", list(mask)), **kept)
    for changed in (
        marked("a good film", [1, 0, 1]),
        marked("a good film", None),
        marked("a good film", mask, "y"),  # random orders are drawn by the id
    ):
        with pytest.raises(InputError, match=r"other settings \(data\)"):
            lxt.evaluate(bert_folder, changed, **kept)


def test_a_stream_that_changed_is_not_gone_on_with(bert_folder: Path, tmp_path: Path) -> None:
    import datasets

    texts = [f"{text} {i}" for i in range(4) for text in TEXTS]

    def run(changed: list[str], out: str, **options: Any) -> lxt.Report:
        data = datasets.Dataset.from_dict({"text": changed}).to_iterable_dataset()
        return lxt.evaluate(bert_folder, data, out=tmp_path / out, **QUICK, **options)

    first = run(texts, "a")
    assert timeless(first) == timeless(run(texts, "a"))
    for other in (["other", *texts[1:]], texts[:-1], texts[:16], [*texts, "more"]):
        with pytest.raises(InputError, match=r"other samples \(data\)"):
            run(other, "a")
    # what was left out is computed from the samples that are there now
    run(texts, "b", samples=20)
    with pytest.raises(InputError, match=r"other settings \(data\)"):
        run(texts, "b", samples=21)


MADE = """
import functools, threading, types
import numpy as np, torch

FACTOR = {factor}

def helper(x):
    return {helper}

def scores(task, batch, power={power}):
    names = {{"a", "b", "c", {name!r}}}
    return [helper(torch.ones(n)) * FACTOR for n in batch.units]

def closed(inside):
    return lambda task, batch: [torch.ones(n) * inside for n in batch.units]

class Given:
    def __init__(self, weight):
        self.weight, self.lock = weight, {lock}
        self.words = types.SimpleNamespace(left_out={{"the", "a", "an", "of"}})
    def __call__(self, task, batch):
        return [torch.ones(n) * self.weight + {plus} for n in batch.units]

every = [
    scores,
    closed({inside}),
    functools.partial(scores, power={inside}),
    Given({inside}),
    Given({inside}).__call__,
    lambda task, batch: [torch.ones(n) * {plus} for n in batch.units],
]
"""
PLAIN = {"factor": 2, "helper": "x + 1", "power": 1, "name": "d", "inside": "np.arange(3)",
         "plus": 1, "lock": None}  # fmt: skip


def identities(**changed: Any) -> list[str]:
    space: dict[str, Any] = {"__name__": "mine"}
    exec(MADE.format(**{**PLAIN, **changed}), space)
    return [Method("m", run).identity for run in space["every"]]


@pytest.mark.parametrize(
    ("changed", "others"),
    [
        ({"factor": 3}, {0, 2}),
        ({"helper": "x - 1"}, {0, 2}),
        ({"power": 2}, {0, 2}),
        ({"name": "e"}, {0, 2}),
        ({"inside": "np.arange(4)"}, {1, 2, 3, 4}),
        ({"inside": "torch.arange(3.)"}, {1, 2, 3, 4}),
        ({"plus": 2}, {3, 4, 5}),
        ({"lock": "threading.Lock()"}, {3, 4}),
        ({"lock": "open('/dev/null')"}, {3, 4}),
        ({"lock": "torch.Generator().manual_seed(3)"}, {3, 4}),
        ({}, set()),
    ],
)
def test_a_function_is_told_by_what_it_does(changed: dict[str, Any], others: set[int]) -> None:
    before, after = identities(), identities(**changed)
    assert {i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b} == others
    # what cannot be told is never the same
    assert (identities(**changed) == after) is ("open" not in changed.get("lock", ""))


def test_a_function_is_the_same_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MADE.format(**PLAIN))
    code = (
        "import mine; from lxt_like.evaluate.methods import Method;"
        "print(*[Method('m', run).identity for run in mine.every], sep='\\n')"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert found[0] == found[1]
    assert found[0].split("\n")[:-1] == identities()


def test_a_function_that_changed_needs_another_folder(bert_folder: Path, tmp_path: Path) -> None:
    def of(factor: float) -> Any:
        return lambda task, batch: [torch.arange(n) * factor for n in batch.units]

    def run(factor: float) -> lxt.Report:
        method = ("mine", of(factor))
        return lxt.evaluate(bert_folder, TEXTS, methods=[method], steps=3, out=tmp_path / "out")

    assert timeless(run(1.0)) == timeless(run(1.0))
    with pytest.raises(InputError, match=r"other settings \(methods\)"):
        run(-1.0)
