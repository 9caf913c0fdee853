"""What must hold for an explanation, and for two of the same."""

from __future__ import annotations

from math import fsum

import pytest

from lxt_like.explain.result import TextExplanation


def closes(ex: TextExplanation) -> None:
    """Words and loose tokens, tokens, and the account all tell of the same score."""
    total = fsum(t.relevance for t in ex.tokens)
    assert fsum(w.relevance for w in ex.words) + ex.special == pytest.approx(total, abs=1e-9)
    assert ex.account is not None
    assert ex.account.score == pytest.approx(ex.target.score, abs=1e-9)
    assert ex.account.inputs == pytest.approx(total, abs=1e-5)
    assert fsum([total, *ex.account.entries.values(), ex.account.gap]) == pytest.approx(
        ex.target.score, abs=1e-5
    )


def same(a: TextExplanation, b: TextExplanation) -> None:
    assert (a.texts, a.notes, a.target.label) == (b.texts, b.notes, b.target.label)
    assert a.target.score == pytest.approx(b.target.score, abs=1e-5)
    assert [(w.text, w.start, w.segment) for w in a.words] == [
        (w.text, w.start, w.segment) for w in b.words
    ]
    assert [t.relevance for t in a.tokens] == pytest.approx(
        [t.relevance for t in b.tokens], abs=1e-5
    )
