"""From the relevances of tokens to words of the raw text.

A word is what :func:`.segment.segment` finds in the raw text; its relevance is the *sum* of
its tokens.  Every token made from the text belongs to one word, or to none if it stands for
white space or for no text at all.  Where one token reaches into several words (``),`` as one
piece, two ideographs as one piece) these words are one: a share for each would be invented.
Words of which the model saw no token (cut off, or dropped by the tokenizer) are not listed.
So ``sum(words) + sum(tokens without a word) == sum(tokens)``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import fsum

from ..explanation import Token, Word
from .encode import Encoding
from .segment import Span, segment


def words_and_tokens(
    encoding: Encoding, relevance: Sequence[float], taken: Sequence[int] | None = None
) -> tuple[tuple[Word, ...], tuple[Token, ...]]:
    """Words and tokens of an encoding, in reading order.

    Args:
        encoding: the tokens of one text or pair.
        relevance: one number per token of the encoding, in the units of the score.
        taken: positions of the tokens that the model saw; None: all of them.
    """
    taken = range(len(encoding)) if taken is None else taken
    words: list[Word] = []
    word_of: dict[int, int] = {}
    for number, text in enumerate(encoding.texts):
        mine = [i for i in taken if encoding.segments[i] == number]
        spans = [encoding.spans[i] or (0, 0) for i in mine]
        bounds, members = group(text, spans, None if number else encoding.bounds)
        relevances: list[list[float]] = [[] for _ in bounds]
        for i, member in zip(mine, members, strict=True):
            if member is not None:
                word_of[i] = len(words) + member
                relevances[member].append(relevance[i])
        words += [
            Word(text[start:end], start, end, fsum(parts), number)
            for (start, end), parts in zip(bounds, relevances, strict=True)
        ]
    tokens: list[Token] = []
    last = 0
    for i in taken:
        own = encoding.segments[i]
        last = last if own is None else own
        start, end = encoding.spans[i] or (None, None)
        tokens.append(
            Token(
                encoding.pieces[i],
                encoding.ids[i],
                relevance[i],
                start,
                end,
                word_of.get(i),
                last,
                special=own is None,
            )
        )
    return tuple(words), tuple(tokens)


def group(
    text: str, spans: Sequence[Span], within: Sequence[Span] | None = None
) -> tuple[list[Span], list[int | None]]:
    """Which word of ``text`` each token belongs to.

    Args:
        text: the raw text.
        spans: ``(start, end)`` of each token in it.
        within: the parts of the text that have words, each by itself; None: all of it.

    Returns:
        The bounds of the words that have a token, in reading order, and per token the index
        of its word, or None for white space and tokens that stand for no text.
    """
    parts = [(0, len(text))] if within is None else within
    units = [(at + a, at + b) for at, end in parts for a, b in segment(text[at:end])]
    starts = [start for start, _ in units]
    reached = [_reach(text, units, starts, span) for span in spans]
    tied = [False] * len(units)  # with the unit before it
    for first, last in filter(None, reached):
        tied[first + 1 : last + 1] = [True] * (last - first)
    touched = {first for first, _ in filter(None, reached)}
    bounds: list[Span] = []
    word_of_unit: list[int] = []
    has_token: list[bool] = []
    for k, (start, end) in enumerate(units):
        if tied[k]:
            bounds[-1] = (bounds[-1][0], end)
        else:
            bounds.append((start, end))
            has_token.append(False)
        word_of_unit.append(len(bounds) - 1)
        has_token[-1] = has_token[-1] or k in touched
    number = {w: n for n, w in enumerate(w for w in range(len(bounds)) if has_token[w])}
    members = [None if r is None else number[word_of_unit[r[0]]] for r in reached]
    return [bounds[w] for w in number], members


def _reach(text: str, units: list[Span], starts: list[int], span: Span) -> Span | None:
    """First and last unit that a token touches; byte-level pieces bring their space along."""
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start == end:
        if span[0] != span[1]:
            return None
        # no text of its own: with the word it stands in or in front of
        at = bisect_right(starts, start) - 1
        return (at, at) if at >= 0 and units[at][0] <= start < units[at][1] else None
    return bisect_right(starts, start) - 1, bisect_right(starts, end - 1) - 1
