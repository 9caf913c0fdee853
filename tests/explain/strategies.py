"""Odd strings: what people, scrapers and attackers put into text fields."""

from __future__ import annotations

import random

from hypothesis import strategies as st

_WORDS = (
    "don't state-of-the-art film's 3.5 1,000 wow!!! ... ?! -- “quoted” (film), U.S. a_b #tag @me "
    "http://a.b/c?d=e&f %s $x$ \\x{1} <b>&amp;</b> [SEP] [UNK] [MASK] </s> <unk> <|end|> ##x ▁ Ġ"
)
ODD = [
    *_WORDS.split(),
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u00a0",
    "\u3000",
    "\u2028",
    "\x00",
    "\x1b[31m",
    "\x85",
    "\ufeff",
    "\u200b",
    "\u200f",
    "\u00ad",
    "\ufffd",
    "é",
    "e\u0301",
    "a\u0300\u0316\u0301",
    "\u0301",
    "ﬁ",
    "½",
    "Ⅷ",
    "İ",
    "ß",
    "ǅ",
    "ᾳ",
    "Å",
    "你好",
    "世界。",
    "こんにちは",
    "カタカナ",
    "ｶﾀ",
    "한국어",
    "\u1112\u1161\u11ab",
    "สวัสดี",
    "नमस्ते",
    "שלום",
    "مرحبا",
    "😀",
    "👩‍👩‍👧",
    "👍🏽",
    "🇩🇪🇫",
    "1️⃣",
    "❤️‍🔥",
    "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "\u200d😀",
    "𝔘𝔫",
    "\U0010ffff",
    "film",
    "funny",
    "Gripping",
]


def odd_texts(max_size: int = 12) -> st.SearchStrategy[str]:
    """Odd pieces and any characters but lone surrogates, mixed."""
    anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    return st.lists(st.sampled_from(ODD) | anything, max_size=max_size).flatmap(
        lambda parts: st.sampled_from(["", " "]).map(lambda glue: glue.join(parts))
    )


def odd_text(rng: random.Random, most: int = 16) -> str:
    """The same from a plain generator, for long runs without hypothesis."""
    parts: list[str] = []
    for _ in range(rng.randrange(most)):
        if rng.random() < 0.7:
            parts.append(rng.choice(ODD))
        else:
            code = rng.choice([rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x110000)])
            parts.append("" if 0xD800 <= code < 0xE000 else chr(code))
    return rng.choice(["", " "]).join(parts)
