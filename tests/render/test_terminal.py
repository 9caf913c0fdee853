from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.style import Style

from lxt_like.errors import InputError, NumericalError
from lxt_like.explanation import TextData
from lxt_like.render import to_terminal
from lxt_like.render.terminal import separator

from ..strategies import text_data
from .checks import SGR, check_terminal
from .samples import plain, review

PLAIN = """\
 POSITIVE   score +2.000   probability 98.8 %
 tiny · attnlrp

 A gripping  film.

 strongest words  gripping +1.25 · film +0.50 · . -0.25
 special tokens  [CLS] +0.25 · [SEP] -0.12

 words           +1.500   ━━━━━━━━━━━━━━━━━━━━━━━━
 special tokens  +0.125                           ━━
 bias            +0.500                             ━━━━━━━━
 softmax         -0.125                                   ━━
 ──────────────────────
 score           +2.000   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
 gap 0.0e+00, unruled 0.0e+00
 zero: epsilon
 note: Two words were not read.
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORFGBG", "COLORTERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    # rich keeps a style's codes for the first colour system it was printed with
    Style.parse.cache_clear()
    Style._add.cache_clear()


def test_plain_output() -> None:
    assert to_terminal(review(), width=60, color=False) == PLAIN


def test_narrow_output() -> None:
    lines = to_terminal(review(), width=20, color=False).splitlines()
    assert "special tok…  +0.125" in lines
    assert "score         +2.000" in lines
    assert all(len(line) <= 20 for line in lines)


def test_colors_carry_the_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    output = to_terminal(review(), width=60, color=True)
    assert "\x1b[38;2;255;255;255;48;2;208;40;31mgripping\x1b[0m" in output  # full red
    assert SGR.sub("", output).replace("·", "").split() == PLAIN.replace("·", "").split()


def test_sixteen_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "linux")
    output = to_terminal(plain("good bad", {"good": 1.0, "bad": -0.9}), width=60, color=True)
    assert "\x1b[1;37;41mgood\x1b[0m" in output
    assert "\x1b[1;37;44mbad\x1b[0m" in output


@pytest.mark.parametrize(
    ("environment", "is_terminal", "colored"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False, True),
    ],
)
def test_when_to_color(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], is_terminal: bool, colored: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    assert ("\x1b[" in to_terminal(review())) is colored


def test_what_is_asked_for_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" in to_terminal(review(), color=True)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in to_terminal(review(), color=False)


@pytest.mark.parametrize(("background", "red"), [("15;0", "255;122;110"), ("0;15", "197;34;31")])
def test_known_backgrounds_get_their_scale(
    monkeypatch: pytest.MonkeyPatch, background: str, red: str
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("COLORFGBG", background)
    assert f"48;2;{red}mgripping" in to_terminal(review(), color=True)


def test_width_comes_from_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = plain("word " * 100)
    for columns, widest in (("30", 30), ("5", 20), ("500", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        longest = max(map(len, to_terminal(text, color=False).splitlines()))
        assert widest - 6 <= longest <= widest


@pytest.mark.parametrize("width", [0, 19, -1, 30.0, True, "80"])
def test_impossible_widths(width: int) -> None:
    with pytest.raises(InputError, match="at least 20"):
        to_terminal(review(), width=width)


def test_several_are_separated() -> None:
    output = to_terminal([review(), review()], width=60, color=False)
    assert output == PLAIN + "\n" + "─" * 60 + "\n\n" + PLAIN


def test_nothing_acts_on_the_terminal() -> None:
    output = to_terminal(plain("\x1b[2J \u202eevil \x9b1m"), width=60, color=False)
    assert "\\x1b[2J \\u202eevil \\x9b1m" in output


def test_markup_and_emoji_codes_are_text() -> None:
    assert "[red]x[/] :smile:" in to_terminal(plain("[red]x[/] :smile:"), width=60, color=False)


def test_empty_text() -> None:
    assert "(empty text)" in to_terminal(plain(""), width=60, color=False)
    blank = to_terminal(plain(" \n "), width=60, color=False)
    assert "(white space only)" in blank
    assert "(empty text)" not in blank
    # white space to Python, but it acts on a terminal
    assert "\\x85\\x1c" in to_terminal(plain("\x85\x1c"), width=60, color=False)


def test_nan_is_refused() -> None:
    with pytest.raises(NumericalError):
        to_terminal(plain("a", {"a": float("nan")}))


@settings(max_examples=50, deadline=None)
@given(text_data(), st.integers(20, 120))
def test_odd_texts(data: TextData, width: int) -> None:
    check_terminal(data, width)


@pytest.mark.parametrize("color", [False, True])
def test_one_by_one_is_all_at_once(color: bool) -> None:
    one, other = plain("a film"), review()
    parts = [to_terminal(data, 50, color) for data in (one, other)]
    assert separator(50, color).join(parts) == to_terminal([one, other], 50, color)
