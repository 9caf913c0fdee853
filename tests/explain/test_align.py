from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.normalizers import BertNormalizer

from lxt_like.errors import InputError
from lxt_like.explain.align import align
from lxt_like.explain.encode import encode
from lxt_like.explain.words import words_and_tokens

from . import makers
from .strategies import odd_texts


@pytest.fixture(scope="module")
def slow_wordpiece(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return makers.slow_wordpiece(tmp_path_factory.mktemp("slow"))


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
        # an unknown token before punctuation is no word of its own
        "the Ψ-Ω film is good - not dull",
        "Ψ-Ω film - good",
        "Ψ's Ω the film 's",
        # what is dropped begins no word; what one character folds to is not cut
        "q#\xadﬁr, 世\xad½ \u0301가 (”funny…mก็.",
        # a sign that is punctuation without its stroke
        "a😀≠▁ film",
        # an ideograph that BERT does not know as one
        "a 0\U00030000 film",
        "a\ufffd film\ufffd Ψ film",
    ],
)
def test_the_slow_tokenizer_finds_what_the_fast_one_says(
    text: str, wordpiece: Any, slow_wordpiece: Any
) -> None:
    fast, slow = encode(wordpiece, text), encode(slow_wordpiece, text)
    assert slow.ids == fast.ids
    assert slow.segments == fast.segments
    assert slow.spans == fast.spans


_KNOWN = [*"abcfilmgrpn0123 ,.!?'-()#@q", *makers.VOCABULARY[-9:], " ", "  ", "\n", "##ing"]
_STRANGE = "É ß ﬁ 世 界 😀 Ⅷ \u200b \u0301 \xad İ µ ǆ ½ … “ — 漢 가 x\u0301 Ψ Ω [UNK] [MASK]".split(
    " "
)

_CLEAN = BertNormalizer(True, False, True, False).normalize_str


@given(text=st.lists(st.sampled_from(_KNOWN + _STRANGE), max_size=14).map("".join) | odd_texts())
def test_equal_ids_have_equal_words(text: str, wordpiece: Any, slow_wordpiece: Any) -> None:
    try:
        read = encode(wordpiece, text), encode(slow_wordpiece, text)
    except InputError:  # the two disagree on what is no text at all
        return
    basic = slow_wordpiece.basic_tokenizer
    kept = basic._run_strip_accents(basic._clean_text(text))
    if read[0].ids != read[1].ids or kept != _CLEAN(text):
        return  # the two know different versions of Unicode
    relevance = [float(i) for i in range(len(read[0]))]
    first, second = (words_and_tokens(encoding, relevance)[0] for encoding in read)
    assert second == first


def test_a_thousand_unknown_pieces_take_no_time() -> None:
    text = "☃ " * 1000 + "x"
    assert pieces(text, ["?"] * 1000 + ["x"], "?") == ["☃"] * 1000 + ["x"]
