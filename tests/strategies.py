"""Where fuzzing gets its inputs: odd strings, and explanations made of them."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import strategies as st

from lxt_like.explanation import Account, TargetInfo, TextData, Token, Word

FRAGMENTS = (
    # plain, and what a reviewer types
    "film", "the", "A", "don't", "re-make", "3.5/10", "naïve", "Ærøskøbing",
    " ", "  ", "\n", "\t",
    "\r\n", "\r", "\u00a0", "\u3000", "\u2003", ".", ",", "...", "--", "---",
    "``", "''", "?`", "!`",
    ",,", "<<", ">>", '"', "'",
    # other scripts, marks, emoji
    "电影", "映画、", "영화", "सिनेमा", "ภาพยนตร์", "кино", "سينما", "סרט", "e\u0301",
    "a" + "\u0300" * 12,
    "\u0301", "🎉", "👩‍👩‍👧", "👍🏽", "🇩🇪", "🏴\U000e0067\U000e0062\U000e007f",
    "❤️", "\ufe0f", "\u200d",
    "𝔉𝔦𝔩𝔪", "ﬁ", "㍿", "ｆｕｌｌ", "\U0010ffff", "\uffff", "\ufffd", "\ufeff",
    "\u00ad",
    # what acts on a terminal or reorders text
    "\x00", "\x07", "\x08", "\x0b", "\x0c", "\x1b", "\x1b[31m", "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b]8;;http://x\x1b\\", "\x9b31m", "\x85", "\x7f", "\x1c", "\u2028",
    "\u2029", "\u202e", "\u202a",
    "\u202c", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c", "\u200b",
    "\u2060",
    # lone surrogates, and a pair that only looks like a character
    "\ud800", "\udfff", "\ud83d\ude00", "\ude00\ud83d",
    # injections: HTML, templates, LaTeX, mathtext, rich markup, JSON, formats
    "<b>", "</p>", "<script>alert(1)</script>", "<!--", "-->", "<![CDATA[",
    "&amp;", "&lt", "&#x3c;", "\">",
    "' onmouseover='x", "</style>", "</title>", "{{ 7*7 }}", "{% raw %}",
    "{# #}", "\\", "\\\\",
    "\\input{x}", "\\end{document}", "\\", "{", "}", "$", "$x^2$", "$$", "\\$",
    "%", "#1", "^^M", "^",
    "_", "~", "&", "[red]", "[/]", "[link=x]", ":smile:", '{"a":1}', "\\u0041",
    "%s", "{0}", "^^5c",
)  # fmt: skip


def odd_texts(max_pieces: int = 12) -> st.SearchStrategy[str]:
    """Strings no renderer and no tokenizer may stumble over: the fragments above, any Unicode
    with surrogates, very long words, the empty string."""
    anything = st.text(st.characters(exclude_categories=()), max_size=20)
    huge = st.builds(
        lambda unit, times: unit * times,
        st.sampled_from(("x", "電", "\u0301", "👩‍", "-", "ab ", "\n")),
        st.integers(50, 1500),
    )
    piece = st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(FRAGMENTS), anything)
    joined = st.lists(piece, max_size=max_pieces).map("".join)
    rarely = st.integers(0, 19)
    return rarely.flatmap(lambda dice: huge if dice == 0 else joined)


def relevances() -> st.SearchStrategy[float]:
    """Finite relevances, mostly of usual size, some zero, tiny or enormous."""
    usual = st.floats(-5, 5, allow_nan=False)
    return st.one_of(
        usual, usual, usual, st.just(0.0), st.floats(-1e-300, 1e-300), st.floats(-1e100, 1e100)
    )


@st.composite
def text_data(draw: st.DrawFn, texts: st.SearchStrategy[str] | None = None) -> TextData:
    """An explanation of one or two odd texts, cut into words anywhere, whose account closes."""
    source = odd_texts() if texts is None else texts
    small = odd_texts(3)
    raws = tuple(draw(st.lists(source, min_size=1, max_size=2)))
    values = relevances() if draw(st.booleans()) else st.floats(-5, 5, allow_nan=False)
    words: list[Word] = []
    tokens: list[Token] = [Token(draw(small), 0, draw(values), special=True)]
    for segment, raw in enumerate(raws):
        cuts = draw(st.lists(st.integers(0, len(raw)), max_size=16))
        edges = sorted({0, len(raw), *cuts})
        for start, end in pairwise(edges):
            if not draw(st.booleans()):
                continue
            parts = draw(st.lists(values, min_size=1, max_size=3))
            index = len(words)
            words.append(Word(raw[start:end], start, end, math.fsum(parts), segment))
            tokens += [Token(raw[start:end], 7, part, start, end, index, segment) for part in parts]
        tokens.append(Token(draw(small), 1, draw(values), segment=segment, special=True))
    account = None
    score = draw(values)
    if draw(st.booleans()):
        inputs = math.fsum(token.relevance for token in tokens)
        entries = draw(st.dictionaries(small, values, max_size=4))
        gap = draw(st.sampled_from((0.0, 1e-8, 0.5)))
        score = math.fsum((inputs, *entries.values(), gap))
        account = Account(score, inputs, entries, draw(st.floats(0, 1e-6)), gap)
    return TextData(
        texts=raws,
        target=TargetInfo(
            draw(small),
            draw(st.none() | st.integers(0, 9)),
            score,
            draw(st.none() | st.floats(0, 1)),
        ),
        words=tuple(words),
        tokens=tuple(tokens),
        account=account,
        model=draw(small),
        composite=draw(st.sampled_from(("attnlrp", "cp_lrp", ""))),
        notes=tuple(draw(st.lists(small, max_size=2))),
    )
