from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from lxt_like.render.escape import visible
from lxt_like.render.layout import Span
from lxt_like.render.wrapping import clusters, wrap

from ..strategies import odd_texts


def lines(text: str, width: int) -> list[str]:
    return ["".join(p.text for p in line) for line in wrap([Span(text, 0)], width, cell_len)]


def test_breaks_at_spaces_and_newlines() -> None:
    assert lines("one two  three\n\nfour", 8) == ["one two", "three", "", "four"]
    assert lines("  indented", 20) == ["  indented"]
    assert lines("", 5) == [""]
    assert lines("a\tb", 20) == ["a    b"]


def test_spaces_at_a_break_never_glue_words() -> None:
    assert lines("abcdef    g", 7) == ["abcdef", "g"]
    assert lines("abcdefg h", 7) == ["abcdefg", "h"]


def test_a_long_word_breaks_between_characters() -> None:
    assert lines("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert lines("e\u0301e\u0301e\u0301", 2) == ["e\u0301e\u0301", "e\u0301"]


def test_wide_characters_break_anywhere_but_before_a_stop() -> None:
    assert lines("这部电影。好", 8) == ["这部电", "影。好"]
    assert lines("ab 这部电影", 6) == ["ab 这", "部电影"]


def test_words_stay_whole_across_spans() -> None:
    spans = [Span("it", 0), Span("'", None), Span("s", 1), Span(" ", None), Span("ok", 2)]
    rows = wrap(spans, 5, cell_len)
    assert [[(p.text, p.word) for p in row] for row in rows] == [
        [("it", 0), ("'", None), ("s", 1)],
        [("ok", 2)],
    ]


def test_no_break_space_does_not_break() -> None:
    assert lines("aa b\u00a0c", 5) == ["aa", "b\u00a0c"]


def test_what_is_held_by_a_no_break_space_is_not_torn_for_a_long_word() -> None:
    assert lines("abcdefghij\u00a0+0.13\u00a0· k", 8) == [
        "abcdefgh",
        "i",
        "j\u00a0+0.13\u00a0",
        "· k",
    ]
    assert lines("abcdefghij\u00a0+0.13", 8) == ["abcdefgh", "ij\u00a0+0.13"]
    assert lines("abcdefghijkl\u00a0+0.13", 8) == ["abcdefgh", "ijk", "l\u00a0+0.13"]
    assert lines("abcdef\u00a0+0.13", 8) == ["abcdef\u00a0", "+0.13"]
    assert lines("it\u00a0is\u00a0a\u00a0very\u00a0good", 8) == [
        "it\u00a0is\u00a0a\u00a0",
        "very\u00a0",
        "good",
    ]
    assert lines("\u00a0" * 5, 2) == ["\u00a0\u00a0"] * 2 + ["\u00a0"]


def test_a_selector_cut_from_its_character_still_widens_it() -> None:
    """U+FE0F makes a digit two columns wide, also where a word begins with it."""
    spans = [Span("0000", None), Span("\ufe0ffil", 0)]
    for row in wrap(spans, 7, cell_len):
        assert cell_len("".join(piece.text for piece in row)) <= 7


def test_clusters() -> None:
    family, flags, skin = "👩‍👩‍👧", "🇩🇪🇫🇷", "👍🏽"
    assert list(clusters("a" + family + "e\u0301" + flags + skin)) == [
        "a", family, "e\u0301", "🇩🇪", "🇫🇷", skin,
    ]  # fmt: skip


@given(odd_texts(), st.integers(4, 60))
@example("film\u3000\u0301", 4)
def test_nothing_but_spaces_is_lost(text: str, width: int) -> None:
    out = lines(text, width)
    assert "".join("".join(out).split()) == "".join(visible(text).split())
    for line in out:
        assert cell_len(line) <= width or len(list(clusters(line))) == 1
