from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings

from lxt_like.errors import InputError
from lxt_like.explanation import TargetInfo, TextData
from lxt_like.render import to_html

from ..strategies import text_data
from .checks import check_html
from .samples import plain, review


def test_words_carry_shade_and_title() -> None:
    page = to_html(review())
    assert (
        '<span class="lxt-word lxt-p20" title="gripping +1.25\ngrip +1.00 · ##ping +0.25">'
        "gripping</span>  <span" in page
    )
    assert re.search(r'<span class="lxt-word lxt-n4" title="\. -0\.25\n[^"]*">\.</span></p>', page)
    assert re.search(r'<span class="lxt-word" title="A 0\.00\n[^"]*">A</span>', page)


def test_header_account_and_notes() -> None:
    text = re.sub(r"<[^>]*>", " ", to_html(review()))
    text = re.sub(r"\s+", " ", text)
    assert "POSITIVE score +2.000 probability 98.8 % tiny · attnlrp" in text
    assert "words +1.500 special tokens +0.125 bias +0.500 softmax -0.125 score +2.000" in text
    assert "Two words were not read." in text
    assert "[CLS] +0.25" in text


def test_page_is_self_contained() -> None:
    page = to_html([review(), review()])
    assert page.startswith("<!DOCTYPE html>")
    assert "default-src 'none'" in page
    assert "<script" not in page
    for fetching in ("src=", "href=", "url(", "@import", "http:", "https:"):
        assert fetching not in page
    assert page.count("<article") == 2
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page


def test_every_shade_used_is_defined() -> None:
    page = to_html(review())
    for name in set(re.findall(r"lxt-[pn]\d+", page.partition("</style>")[2])):
        assert f".lxt .{name} {{" in page
        assert page.count(f"--{name}: #") == 2  # light and dark


def test_fragment_is_scoped() -> None:
    fragment = to_html(review(), fragment=True)
    assert fragment.startswith('<div class="lxt-fragment">')
    for tag in ("<html", "<head>", "<body", "<meta", "<!DOCTYPE"):
        assert tag not in fragment
    style = fragment.partition("<style>")[2].partition("</style>")[0]
    for selectors in re.findall(r"^([^{}\n]+?)\s*\{", style, flags=re.MULTILINE):
        assert all(".lxt" in selector for selector in selectors.split(",")), selectors


def test_title() -> None:
    assert "<title>&lt;b&gt;</title>" in to_html(review(), title="<b>")
    assert "<title>POSITIVE: A gripping  film.</title>" in to_html(review())
    with pytest.raises(InputError, match="title"):
        to_html(review(), title=3)  # type: ignore[arg-type]


def test_injection_everywhere() -> None:
    evil = "</style><script>alert(1)</script>\"'>"
    data = plain(evil, label=evil)
    data = replace(data, model=evil, composite=evil, notes=(evil,))
    data = replace(data, target=replace(data.target, label=evil))
    for fragment in (False, True):
        page = to_html(data, title=evil, fragment=fragment)
        assert "<script" not in page
        assert page.count("</style>") == 1


def test_no_probability_and_no_words() -> None:
    page = to_html(TextData(("",), TargetInfo("contrast", None, -0.5), (), ()))
    assert "probability" not in page
    assert "(empty text)" in page
    assert "<details" not in page


def test_a_pair_is_two_paragraphs() -> None:
    data = replace(review(), texts=(review().text, "And a pair."))
    assert to_html(data).count('<p class="lxt-text') == 2


@settings(max_examples=50, deadline=None)
@given(text_data())
def test_odd_texts(data: TextData) -> None:
    check_html(data, fragment=False)
    check_html(data, fragment=True)
