from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from lxt_like.explanation import Account, TextData
from lxt_like.render import to_latex
from lxt_like.render.latex import escape

from ..strategies import text_data
from .checks import check_latex, read_latex
from .samples import plain, review


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("a_b & 50% #1 $x$ {y}", r"a\_b \& 50\% \#1 \$x\$ \{y\}"),
        ("\\^~", r"\textbackslash{}\textasciicircum{}\textasciitilde{}"),
        ("--", "-{}-{}"),
        ("?`", r"?{}\textasciigrave{}"),
        ("é—電", r"é\textemdash{}\lxtchar{96FB}{電}"),
        ("\u202e\x1b", r"\textbackslash{}u202e\textbackslash{}x1b"),
        ("\ud800", r"\textbackslash{}ud800"),
    ],
)
def test_escape(text: str, source: str) -> None:
    assert escape(text) == source


def test_document() -> None:
    source = to_latex(review())
    assert source.startswith("\\documentclass")
    assert source.endswith("\\end{document}\n")
    assert "\\lxtword{C5221F}{FFFFFF}{gripping}\\ \\ \\lxtword{" in source
    assert "{}special tokens & +0.125 \\\\" in source
    assert "\\textbf{score} & \\textbf{+2.000} \\\\" in source
    assert "{}softmax & \\textminus{}0.125 \\\\" in source


def test_long_words_may_break() -> None:
    assert to_latex(plain("x" * 61)).count("\\lxtword{C5221F}") == 3


def test_labels_are_no_arguments() -> None:
    """TeX takes a [ after the end of a table row for an optional argument."""
    data = replace(review(), account=Account(2.0, 1.625, {"[9cm]": 0.375}))
    assert "\\\\\n{}[9cm] &" in to_latex(data)


def test_several() -> None:
    assert to_latex([review(), review()]).count("\\begin{tabular}") == 2


def test_the_reader_finds_what_is_not_escaped() -> None:
    with pytest.raises(AssertionError, match="unescaped"):
        read_latex(to_latex(plain("ab")).replace("{ab}", "{a_b}"))
    with pytest.raises(AssertionError):
        read_latex(to_latex(plain("ab")).replace("{ab}", "{\\input{b}}"))


@settings(max_examples=50, deadline=None)
@given(text_data())
def test_odd_texts(data: TextData) -> None:
    check_latex(data)
