"""Text that no known piece of a slow tokenizer covers, shared among its unknown tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from .segment import Span, segment

_IDEOGRAPHS = (  # as BERT has them: less than what Unicode has today
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


def share_gaps(
    text: str, found: Sequence[Span | None], spans: list[Span], unknown: str | None
) -> None:
    """As many parts in a gap as lost pieces: one each.  Otherwise all stand for all of it.

    Args:
        text: the raw text.
        found: per piece where it was found, an empty span if it stands for no text, None if lost.
        spans: per piece its span in ``text``; a lost one has its whole gap, and is changed here.
        unknown: the tokenizer's unknown token.
    """
    i = 0
    while i < len(found):
        if found[i] is not None:
            i += 1
            continue
        lost = [i]
        while i + 1 < len(found) and _is_empty(found[i + 1]):
            i += 1
            if found[i] is None:
                lost.append(i)
        i += 1
        start, end = spans[lost[0]]
        for split in (basic_tokens, segment):
            shares = parts(text[start:end], unknown, split)
            if len(shares) == len(lost):
                for k, (a, b) in zip(lost, shares, strict=True):
                    spans[k] = (start + a, start + b)
                break


def _is_empty(place: Span | None) -> bool:
    return place is None or place[0] == place[1]


def parts(text: str, unknown: str | None, split: Callable[[str], list[Span]]) -> list[Span]:
    """The visible parts of a text; the unknown token's own name, where typed, is one of them."""
    found: list[Span] = []
    at = 0
    names = [m.span() for m in re.finditer(re.escape(unknown), text)] if unknown else []
    for start, end in [*names, (len(text), len(text))]:
        inside = [(at + a, at + b) for a, b in split(text[at:start])]
        found += [(a, b) for a, b in inside if not all(map(is_dropped, text[a:b]))]
        found += [(start, end)] if end > start else []
        at = end
    return found


def is_dropped(char: str) -> bool:
    """Controls, unassigned characters and lone accents are what tokenizers drop."""
    if char in "\t\n\r":
        return False  # white space; the other controls are not, whatever str.isspace says
    category = unicodedata.category(char)
    return category[0] == "C" or category == "Mn" or char == "\ufffd"


def basic_tokens(text: str) -> list[Span]:
    """Where WordPiece tokenizers split before they look into their vocabulary."""
    spans: list[Span] = []
    glued = False
    for i, char in enumerate(text):
        if is_dropped(char):
            continue  # neither ends a token nor begins one
        if char.isspace():
            glued = False
            continue
        alone = _is_ideograph(char) or _is_punctuation(char)
        if glued and not alone:
            spans[-1] = (spans[-1][0], i + 1)
        else:
            spans.append((i, i + 1))
        glued = not alone
    return spans


def _is_ideograph(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in _IDEOGRAPHS)


def _is_punctuation(char: str) -> bool:
    char = unicodedata.normalize("NFD", char)[0]  # an unequal sign without its stroke is one
    ascii_symbol = char.isascii() and char.isprintable() and not char.isalnum()
    return ascii_symbol or unicodedata.category(char)[0] == "P"
