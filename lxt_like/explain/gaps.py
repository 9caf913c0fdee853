"""Text that no known piece of a slow tokenizer covers, shared among its unknown tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from .segment import Span, is_han, segment


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
        for split in (_basic_tokens, segment):
            parts = _parts(text[start:end], unknown, split)
            if len(parts) == len(lost):
                for k, (a, b) in zip(lost, parts, strict=True):
                    spans[k] = (start + a, start + b)
                break


def _is_empty(place: Span | None) -> bool:
    return place is None or place[0] == place[1]


def _parts(text: str, unknown: str | None, split: Callable[[str], list[Span]]) -> list[Span]:
    """The visible parts of a gap; the unknown token's own name, where typed, is one of them."""
    parts: list[Span] = []
    at = 0
    names = [m.span() for m in re.finditer(re.escape(unknown), text)] if unknown else []
    for start, end in [*names, (len(text), len(text))]:
        inside = [(at + a, at + b) for a, b in split(text[at:start])]
        parts += [span for span in inside if _is_visible(text[slice(*span)])]
        parts += [(start, end)] if end > start else []
        at = end
    return parts


def _is_visible(text: str) -> bool:
    """Controls, unassigned characters and lone accents are what tokenizers drop."""
    return any(unicodedata.category(char)[0] not in "CM" for char in text)


def _basic_tokens(text: str) -> list[Span]:
    """Where WordPiece tokenizers split before they look into their vocabulary."""
    spans: list[Span] = []
    glued = False
    for i, char in enumerate(text):
        if char.isspace():
            glued = False
            continue
        alone = is_han(char) or _is_punctuation(char)
        if glued and not alone:
            spans[-1] = (spans[-1][0], i + 1)
        else:
            spans.append((i, i + 1))
        glued = not alone
    return spans


def _is_punctuation(char: str) -> bool:
    ascii_symbol = char.isascii() and char.isprintable() and not char.isalnum()
    return ascii_symbol or unicodedata.category(char)[0] == "P"
