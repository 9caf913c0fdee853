"""Where the words of a raw text are, by Unicode properties alone: no tokenizer, no model.

The rule, in the order it is applied:

1. White space separates and belongs to no word; every other character belongs to exactly one.
2. A base character keeps its combining marks, format characters (zero-width joiners, tags),
   variation selectors and skin tones; a joined emoji sequence and a pair of regional
   indicators (a flag) are one character.
3. Letters, digits and underscores make a word together.  Apostrophes and hyphens *between*
   them belong to it (``don't``, ``state-of-the-art``), a full stop or comma only between
   two digits (``3.5``, ``1,000``).
4. Scripts written without spaces (Han, Hiragana, Thai, Lao, Tibetan, Myanmar, Khmer) make a
   word per character.
5. A run of one and the same punctuation mark is a word (``...``, ``!!!``); every other mark,
   symbol or emoji is a word of its own.
"""

from __future__ import annotations

import unicodedata
from typing import Literal, NamedTuple

_APOSTROPHES_AND_HYPHENS = frozenset("'’＇·-‐‑")
_DECIMAL_MARKS = frozenset(".,")
_ZWJ = "\u200d"
_WITHOUT_SPACES = (
    (0x3400, 0x4DBF),  # Han: extension A
    (0x4E00, 0x9FFF),  # unified ideographs
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0x20000, 0x3FFFF),  # extensions B onwards
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # CJK radicals
    (0x3005, 0x309F),  # iteration mark, numerals, Hiragana
)


Span = tuple[int, int]
Kind = Literal["letter", "single", "mark", "symbol"]


class _Cluster(NamedTuple):
    """What a reader sees as one character: ``text[start:end]`` and what it is for the rule."""

    start: int
    end: int
    kind: Kind


def segment(text: str) -> list[Span]:
    """Split ``text`` into words (see the module's docstring for what a word is).

    Returns:
        ``(start, end)`` character offsets in reading order, never empty and never
        overlapping; what lies between them is white space.
    """
    spans: list[Span] = []
    clusters = _clusters(text)
    at = 0
    while at < len(clusters):
        first = clusters[at]
        at += 1
        if first.kind == "letter":
            at = _end_of_letters(text, clusters, at)
        elif first.kind == "mark":
            while at < len(clusters) and _repeats(text, clusters[at - 1], clusters[at]):
                at += 1
        spans.append((first.start, clusters[at - 1].end))
    return spans


def _end_of_letters(text: str, clusters: list[_Cluster], at: int) -> int:
    """Index behind the word whose clusters before ``at`` are known to belong to it."""
    while at < len(clusters) and clusters[at].start == clusters[at - 1].end:
        if clusters[at].kind == "letter":
            at += 1
        elif _joins(text, clusters, at):
            at += 2
        else:
            break
    return at


def _joins(text: str, clusters: list[_Cluster], at: int) -> bool:
    """Whether the cluster at ``at``, which follows a letter, ties it to the one behind."""
    mark = clusters[at]
    if mark.end - mark.start != 1 or at + 1 == len(clusters):
        return False
    behind = clusters[at + 1]
    if behind.kind != "letter" or behind.start != mark.end:
        return False
    char = text[mark.start]
    if char in _APOSTROPHES_AND_HYPHENS:
        return True
    before = text[clusters[at - 1].start]
    return char in _DECIMAL_MARKS and before.isdecimal() and text[behind.start].isdecimal()


def _repeats(text: str, left: _Cluster, right: _Cluster) -> bool:
    return right.start == left.end and text[left.start : left.end] == text[right.start : right.end]


def _clusters(text: str) -> list[_Cluster]:
    found: list[_Cluster] = []
    at = 0
    while at < len(text):
        start = at
        at += 1
        if text[start].isspace():
            continue
        if _is_regional(text[start]) and at < len(text) and _is_regional(text[at]):
            at += 1
        while at < len(text) and (_extends(text[at]) or _is_joined(text, start, at)):
            at += 1
        found.append(_Cluster(start, at, _kind(text[start])))
    return found


def _is_joined(text: str, start: int, at: int) -> bool:
    """Whether a zero-width joiner ties the symbol at ``at`` to the symbol at ``start``."""
    return (
        text[at - 1] == _ZWJ
        and at - 1 > start
        and _kind(text[start]) == "symbol"
        and _kind(text[at]) in ("symbol", "mark")
        and not text[at].isspace()
    )


def _extends(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Me", "Mc", "Cf") or "\U0001f3fb" <= char <= (
        "\U0001f3ff"
    )


def _is_regional(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def is_letter(char: str) -> bool:
    """Whether ``char`` makes a word together with its neighbours: a letter or digit."""
    return _kind(char) == "letter"


def _kind(char: str) -> Kind:
    """What a base character is for the rule: ``single`` makes a word of its own.

    ``mark`` is punctuation or a mathematical, currency or modifier symbol; ``symbol``
    everything that is neither that nor a letter or digit.
    """
    category = unicodedata.category(char)
    if category[0] in "LN" or category == "Pc":
        code = ord(char)
        if any(low <= code <= high for low, high in _WITHOUT_SPACES):
            return "single"
        return "letter"
    if category[0] == "P" or category in ("Sm", "Sc", "Sk"):
        return "mark"
    return "symbol"
