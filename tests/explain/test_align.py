from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lxt_like.explain.align import align
from lxt_like.explain.encode import encode

from . import makers


def pieces(text: str, parts: list[str], unknown: str | None = None) -> list[str]:
    return [text[start:end] for start, end in align(text, parts, unknown)]


@pytest.mark.parametrize(
    ("text", "parts", "expected"),
    [
        ("", [], []),
        ("Hello  WÖRLD", ["hel", "##lo", "wor", "##ld"], ["Hel", "lo", "WÖR", "LD"]),
        ("e\u0301te\u0301", ["ete"], ["e\u0301te"]),
        ("a ﬁ x", ["▁a", "▁fi", "▁x"], ["a", "ﬁ", "x"]),
        ("a b", ["▁a", "▁b"], ["a", " b"]),
        ("I'm fine", ["i", "'m</w>", "fi@@", "ne"], ["I", "'m", "fi", "ne"]),
        ("é a", ["Ã", "©", " ", "a"], ["é", "é", " ", "a"]),
        ("é a", ["Ã©", "Ġa"], ["é", " a"]),
        ("😀b", ["ð", "\x9f", "\x98", "\x80", "b"], ["😀", "😀", "😀", "😀", "b"]),
        ("Ab你 é", ["▁ab", "<0xE4>", "<0xBD>", "<0xA0>", "▁e"], ["Ab", "你", "你", "你", "é"]),
        # the dropped space begins with the same byte as the quotation mark
        ("\u2028“x", ["â", "\x80", "\x9c", "x"], ["“", "“", "“", "x"]),
        # a space that the tokenizer dropped beside an added token
        ("Ã </s>", ["Ã", "\x83", "</s>"], ["Ã", "Ã", "</s>"]),
    ],
)
def test_known_pieces(text: str, parts: list[str], expected: list[str]) -> None:
    assert pieces(text, parts) == expected


@pytest.mark.parametrize(
    ("text", "parts", "expected"),
    [
        ("xyza a", ["?", "a"], ["xyza", "a"]),
        ("🎉 🎉 ok", ["?", "?", "ok"], ["🎉", "🎉", "ok"]),
        ("ok 😀", ["ok", "?"], ["ok", "😀"]),
        ("汉字", ["?", "?"], ["汉", "字"]),
        ("a [?] b", ["a", "[?]", "b"], ["a", "[?]", "b"]),
        # three words, two unknown tokens: nobody knows which is which
        ("q w e ok", ["?", "?", "ok"], ["q w e ", "q w e ", "ok"]),
        # a piece that the text does not hold stands for what its neighbours leave
        ("one two three", ["one", "zwei", "three"], ["one", "two", "three"]),
    ],
)
def test_unknown_pieces_take_what_is_left(text: str, parts: list[str], expected: list[str]) -> None:
    assert pieces(text, parts, "?") == expected


@pytest.mark.parametrize(
    "text",
    [
        "A gripping, funny film that doesn't let go; 3.5 stars!",
        "Été  à\nParis, NAÏVE Ärger -- (really)?",
        "你好 film 世界 😀 the film 👍🏽 funny",
        "unknown≠ words ☃ a a☃ a not good",
        " [SEP] typed by a user [UNK] ",
    ],
)
def test_the_slow_tokenizer_finds_what_the_fast_one_says(
    text: str, wordpiece: Any, tmp_path: Path
) -> None:
    fast, slow = encode(wordpiece, text), encode(makers.slow_wordpiece(tmp_path), text)
    assert slow.ids == fast.ids
    assert slow.segments == fast.segments
    assert slow.spans == fast.spans


def test_a_thousand_unknown_pieces_take_no_time() -> None:
    text = "☃ " * 1000 + "x"
    assert pieces(text, ["?"] * 1000 + ["x"], "?") == ["☃"] * 1000 + ["x"]
