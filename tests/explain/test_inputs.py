from __future__ import annotations

import pytest

from lxt_like.errors import InputError
from lxt_like.explain.inputs import check_texts, positive


def test_one_text_and_many() -> None:
    assert check_texts("a").single
    assert check_texts("a", "b").pairs == ["b"]
    many = check_texts(iter(["a", ""]))
    assert (many.texts, many.pairs, many.single) == (["a", ""], [None, None], False)
    assert check_texts([]).texts == []
    assert check_texts(("a", "b"), ("c", "d")).pairs == ["c", "d"]


@pytest.mark.parametrize(
    ("text", "pair", "message"),
    [
        (None, None, r"text to be a str or a list of str, got NoneType \(None\): leave"),
        (3, None, "got int"),
        (b"x", None, "got bytes .*decode it first"),
        ({"a": 1}, None, "got dict"),
        (["a", float("nan")], None, r"text\[1\] to be a str, got float \(nan\): leave missing"),
        (["a", ["b"]], None, r"text\[1\] to be a str, got list"),
        ("a\ud83d b", None, r"lone surrogate U\+D83D at character 1"),
        (["ok", "\udc00"], None, r"text\[1\] to be valid Unicode"),
        ("a", 3, "pair to be a str, got int"),
        ("a", ["b"], "pair to be a str, got list"),
        (["a"], "b", "pair to be a str or a list of str, got str"),
        (["a"], ["b", "c"], "one pair for the text, got 2"),
    ],
)
def test_what_is_no_text(text: object, pair: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_texts(text, pair)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None])
def test_what_is_no_count(value: object) -> None:
    with pytest.raises(InputError, match="expected n to be a whole number >= 1"):
        positive(value, "n")
