from __future__ import annotations

import pytest
from hypothesis import given

from lxt_like.explain.segment import segment

from .strategies import odd_texts


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in segment(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t\u3000", []),
        ("don't isn’t rock'n'roll", ["don't", "isn’t", "rock'n'roll"]),
        ("dogs' 'quoted'", ["dogs", "'", "'", "quoted", "'"]),
        ("state-of-the-art", ["state-of-the-art"]),
        ("well -- no-", ["well", "--", "no", "-"]),
        ("3.5 1,000.", ["3.5", "1,000", "."]),
        ("film.The", ["film", ".", "The"]),
        ("wow!!! ...?!", ["wow", "!!!", "...", "?", "!"]),
        ("(film),", ["(", "film", ")", ","]),
        ("a_b #tag @me", ["a_b", "#", "tag", "@", "me"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("你好world。", ["你", "好", "world", "。"]),
        ("ひらカタカナ", ["ひ", "ら", "カタカナ"]),
        ("วัน", ["วั", "น"]),
        ("नमस्ते", ["नमस्ते"]),
        ("한국어 \u1112\u1161\u11ab", ["한국어", "\u1112\u1161\u11ab"]),
        ("👩‍👩‍👧👍🏽😀😀", ["👩‍👩‍👧", "👍🏽", "😀", "😀"]),
        ("🇩🇪🇫🇷🇪", ["🇩🇪", "🇫🇷", "🇪"]),
        ("❤️‍🔥1️⃣🏴󠁧󠁢󠁳󠁣󠁴󠁿", ["❤️‍🔥", "1️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"]),
        ("a\x00b", ["a", "\x00", "b"]),
        ("a\u200db", ["a\u200db"]),
        ("\u0301x", ["\u0301", "x"]),
    ],
)
def test_what_a_word_is(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(odd_texts())
def test_only_white_space_lies_between_words(text: str) -> None:
    spans = segment(text)
    assert all(start < end for start, end in spans)
    assert "".join(text[a:b] for a, b in spans) == "".join(c for c in text if not c.isspace())
    bounds = [0, *(edge for span in spans for edge in span), len(text)]
    assert bounds == sorted(bounds)


@given(odd_texts(6))
def test_words_do_not_depend_on_what_stands_beyond_white_space(text: str) -> None:
    assert words(f"x {text} y") == ["x", *words(f" {text} "), "y"]
