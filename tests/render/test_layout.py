from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given

from lxt_like.composites import Composite
from lxt_like.errors import InputError
from lxt_like.explanation import TextData, Token, Word
from lxt_like.render import layout
from lxt_like.rules import Epsilon

from ..strategies import text_data
from .samples import review


def test_words_and_gaps() -> None:
    assert layout.spans(review()) == (
        layout.Span("A", 0),
        layout.Span(" "),
        layout.Span("gripping", 1),
        layout.Span("  "),
        layout.Span("film", 2),
        layout.Span(".", 3),
    )


@given(text_data())
def test_text_is_reproduced_and_the_sum_closes(data: TextData) -> None:
    for segment, text in enumerate(data.texts):
        assert "".join(span.text for span in layout.spans(data, segment)) == text
    total = math.fsum(token.relevance for token in data.tokens)
    parts = [w.relevance for w in data.words] + [c.relevance for c in layout.chips(data)]
    size = sum(map(abs, parts))
    assert math.fsum(parts) == pytest.approx(total, abs=1e-9 * size)
    assert [len(tokens) > 0 for tokens in layout.tokens_of(data)] == [True] * len(data.words)


def test_a_windows_line_end_is_one_newline_wherever_it_is_cut() -> None:
    pieces = [layout.Span("a\r", 0), layout.Span("\nb\r\nc\r"), layout.Span("d", 1)]
    assert [s.text for s in layout.printed(pieces)] == ["a", "\nb\nc\\x0d", "d"]


def test_chips_of_one_text_come_together() -> None:
    data = review()
    more = Token("[SEP]", 102, 1.0, special=True)
    newline = Token("Ċ", 198, 0.5)  # no special token, yet it belongs to no word
    assert layout.chips(replace(data, tokens=(*data.tokens, more, newline))) == (
        layout.Chip("[CLS]", 0.25),
        layout.Chip("[SEP]", 0.875, 2),
        layout.Chip("Ċ", 0.5),
    )


def test_strongest() -> None:
    assert [w.text for w in layout.strongest(review(), 9)] == ["gripping", "film", "."]
    assert [w.text for w in layout.strongest(review(), 1)] == ["gripping"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (Word("A", 0, 0, 0.0), "non-empty part of a text of 17"),
        (Word("x", 17, 18, 0.0), "non-empty part"),
        (Word("B", 0, 1, 0.0), "reads 'A' there"),
        (Word("A", 0, 1, 0.0, segment=1), "segment 1"),
    ],
)
def test_words_off_the_text_are_refused(word: Word, message: str) -> None:
    data = review()
    with pytest.raises(InputError, match=message):
        layout.check(replace(data, words=(word, *data.words[1:])))


def test_overlapping_words_are_refused() -> None:
    data = review()
    words = (*data.words[:2], Word("ping  film", 6, 16, 0.0))
    with pytest.raises(InputError, match="begins before the word in front of it ends"):
        layout.spans(replace(data, words=words))


def test_tokens_of_unknown_words_are_refused() -> None:
    data = review()
    with pytest.raises(InputError, match="belongs to word 9, but there are 4"):
        layout.check(replace(data, tokens=(Token("x", 1, 0.0, 0, 1, 9),)))


@pytest.mark.parametrize("bad", ["text", 3, None, [], [1]])
def test_as_list_refuses_other_things(bad: object) -> None:
    with pytest.raises(InputError, match="expected"):
        layout.as_list(bad)  # type: ignore[arg-type]


def test_origin_names_the_composite_but_does_not_print_its_code() -> None:
    data = replace(review(), model="sentiment", composite="cp_lrp")
    assert layout.origin(data) == ["sentiment", "cp_lrp"]
    code = repr(Composite([Epsilon(0.5)]))
    assert layout.origin(replace(data, composite=code)) == ["sentiment", "own composite"]
    assert layout.origin(replace(data, model="", composite="")) == []
