from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from lxt_like.errors import InputError
from lxt_like.explain.result import TextExplanation, load, save
from lxt_like.explanation import Account, TargetInfo, TextData, Token, Word


def data(relevance: float = 2.0, account: Account | None = None) -> TextData:
    return TextData(
        ("A gripping film",),
        TargetInfo("good", 1, 1.0, 0.75),
        (Word("A", 0, 1, 0.5), Word("gripping", 2, 10, relevance), Word("film", 11, 15, -1.0)),
        (
            Token("[CLS]", 2, -0.5, special=True),
            Token("a", 5, 0.5, 0, 1, 0),
            Token("gripping", 6, relevance, 2, 10, 1),
            Token("film", 7, -1.0, 11, 15, 2),
        ),
        account,
        "tiny",
        "attnlrp",
        ("A note.",),
    )


def test_equality_and_hash() -> None:
    ex = TextExplanation.of(data())
    assert ex == TextExplanation.of(data())
    assert ex == data()
    assert data() == ex
    assert ex != TextExplanation.of(data(3.0))
    assert ex != "A gripping film"
    assert hash(ex) == hash(TextExplanation.of(data()))
    assert dataclasses.replace(ex, model="other") != ex
    assert pickle.loads(pickle.dumps(ex)) == ex


def test_top() -> None:
    ex = TextExplanation.of(data())
    assert [w.text for w in ex.top(2)] == ["gripping", "film"]
    assert len(ex.top(99)) == 3
    assert ex.top(0) == ()
    with pytest.raises(InputError, match=">= 0, got -1"):
        ex.top(-1)


def test_repr_is_short() -> None:
    assert repr(TextExplanation.of(data())) == (
        "TextExplanation('A gripping film', target='good', score=1, words=3)"
    )


def test_shows_itself() -> None:
    ex = TextExplanation.of(data())
    assert "gripping" in str(ex)
    html = ex._repr_html_()
    assert "gripping" in html
    assert "<html" not in html


def test_save_and_load(tmp_path: Path) -> None:
    ex = TextExplanation.of(data(account=Account(1.0, 1.0, {"bias": 0.25}, 0.0, -0.25)))
    ex.save(tmp_path / "why.json")
    back = load(tmp_path / "why.json")
    assert isinstance(back, TextExplanation)
    assert back == ex
    save([ex, ex], tmp_path / "both.json")
    assert load(tmp_path / "both.json") == [ex, ex]
    ex.save(tmp_path / "why.html")
    assert "gripping" in (tmp_path / "why.html").read_text(encoding="utf-8")
    with pytest.raises(InputError):
        load(tmp_path / "why.html")
    with pytest.raises(InputError):
        load(tmp_path / "no.json")


@pytest.mark.parametrize("given", [None, 3, "abc", [None]])
def test_what_is_no_explanation_cannot_be_saved(given: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected"):
        save(given, tmp_path / "a.json")
