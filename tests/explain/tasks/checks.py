"""What must hold for an explanation of any task."""

from __future__ import annotations

from math import fsum
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lxt_like as lxt


def closes(ex: lxt.TextExplanation) -> None:
    """Words and loose tokens, tokens, and the account all tell of the same score."""
    total = fsum(t.relevance for t in ex.tokens)
    assert fsum(w.relevance for w in ex.words) + ex.special == pytest.approx(total, abs=1e-9)
    assert any(w.relevance for w in ex.words)
    assert ex.account is not None
    assert abs(ex.account.gap) < 1e-4
    assert ex.account.unruled < 1e-4
    assert fsum([total, *ex.account.entries.values()]) == pytest.approx(ex.target.score, abs=1e-4)


def same(a: lxt.TextExplanation, b: lxt.TextExplanation) -> None:
    """Alike up to rounding."""
    assert (a.texts, a.notes, a.target.label) == (b.texts, b.notes, b.target.label)
    assert a.target.score == pytest.approx(b.target.score, abs=1e-5)
    assert [t.relevance for t in a.tokens] == pytest.approx(
        [t.relevance for t in b.tokens], abs=1e-5
    )


def outputs(model: Any, **inputs: Any) -> Any:
    """The plain model's outputs for one text."""
    with torch.no_grad():
        return model(**inputs)


def relevance_of(model: Any, inputs: Any, score: Any) -> list[float]:
    """What ``lxt.attribute`` gives each token for a score that is written out by hand."""
    a = lxt.attribute(model, dict(inputs), target=lxt.targets.Output(score))
    parts = a.relevance if isinstance(a.relevance, dict) else {"": a.relevance}
    return [x for part in parts.values() for x in _row(part)]


def _row(part: Tensor) -> list[float]:
    return [float(x) for x in part[0]]


def every_format(ex: lxt.TextExplanation, folder: Path) -> None:
    """It prints, saves and loads back equal."""
    assert ex.target.label.split()[0] in str(ex)
    for suffix in (".html", ".png", ".svg", ".tex", ".json"):
        ex.save(folder / f"why{suffix}")
        assert (folder / f"why{suffix}").stat().st_size > 100
    assert lxt.load(folder / "why.json") == ex
