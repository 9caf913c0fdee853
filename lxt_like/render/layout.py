"""A text cut into spans: words and the gaps between them, special tokens set apart.

The spans of a segment joined are its raw text, character for character.  The tokens that
belong to no word ([CLS], a newline token) become chips, so that

    sum(word relevances) + sum(chip relevances) = sum(token relevances).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from ..errors import InputError
from ..explanation import Explained, GenerationData, ImageData, TextData, Token, Word
from .escape import visible

_CODE = "lxt.Composite("
_KINDS = (TextData, GenerationData, ImageData)


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of raw text; ``word`` is the index into ``TextData.words``, None for a gap."""

    text: str
    word: int | None = None


@dataclass(frozen=True, slots=True)
class Chip:
    """The tokens of one text that belong to no word: how many, and their summed relevance."""

    text: str
    relevance: float
    count: int = 1


def as_list(data: Explained | Sequence[Explained]) -> list[Explained]:
    """One explanation or several as a list; InputError for anything else or for none."""
    items = [data] if isinstance(data, _KINDS) else data
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise InputError(f"expected a TextData or a list of them, got {type(data).__name__}")
    if not items:
        raise InputError("expected at least one explanation to render, got an empty list")
    for index, item in enumerate(items):
        if not isinstance(item, _KINDS):
            raise InputError(f"item {index}: expected a TextData, got {type(item).__name__}")
    return list(items)


def texts_only(data: Explained | Sequence[Explained], what: str) -> list[TextData]:
    """The same of texts alone; InputError for an image, which ``what`` cannot show."""
    items = as_list(data)
    texts = [item for item in items if isinstance(item, TextData)]
    if len(texts) < len(items):
        raise InputError(f"{what} shows explanations of texts only, got another")
    return texts


def origin(data: Explained) -> list[str]:
    """Where the numbers come from: the image's name, the model, and the composite by its name.

    A composite of the user's own is known by its code, which is the data's, not the picture's.
    """
    name = data.name if isinstance(data, ImageData) else ""
    composite = "own composite" if data.composite.startswith(_CODE) else data.composite
    return [part for part in (name, data.model, composite) if part]


def spans(data: TextData, segment: int = 0) -> tuple[Span, ...]:
    """The words and gaps of one segment in reading order; joined, they are its raw text.

    Raises InputError where words overlap, are out of order, leave the text or do not match it.
    """
    if not 0 <= segment < len(data.texts):
        raise InputError(f"segment {segment} does not exist: there are {len(data.texts)} texts")
    text = data.texts[segment]
    pieces: list[Span] = []
    position = 0
    for index, word in enumerate(data.words):
        if word.segment != segment:
            continue
        _check_word(index, word, text, position)
        if word.start > position:
            pieces.append(Span(text[position : word.start]))
        pieces.append(Span(text[word.start : word.end], index))
        position = word.end
    if position < len(text):
        pieces.append(Span(text[position:]))
    return tuple(pieces)


def printed(pieces: Iterable[Span]) -> Iterator[Span]:
    """The spans as a reader may see them: acting characters in visible notation.

    A Windows line end becomes one newline, also where a word ends in the middle of it.
    """
    row = list(pieces)
    for span, after in zip_longest(row, row[1:]):
        text = span.text
        if text.endswith("\r") and after is not None and after.text.startswith("\n"):
            text = text[:-1]
        yield Span(visible(text), span.word)


def _check_word(index: int, word: Word, text: str, position: int) -> None:
    where = f"word {index} ({word.text[:40]!a}, characters {word.start} to {word.end})"
    if not word.start < word.end <= len(text):
        raise InputError(f"{where} must be a non-empty part of a text of {len(text)} characters")
    if word.start < position:
        raise InputError(f"{where} begins before the word in front of it ends ({position})")
    if text[word.start : word.end] != word.text:
        found = text[word.start : word.end][:40]
        raise InputError(f"{where} does not match the text, which reads {found!a} there")


def check(data: TextData) -> None:
    """Raise InputError unless words fit their texts and tokens name words that exist."""
    for index, word in enumerate(data.words):
        if not 0 <= word.segment < len(data.texts):
            raise InputError(
                f"word {index} ({word.text[:40]!a}) is in segment {word.segment}, "
                f"but there are {len(data.texts)} texts"
            )
    for segment in range(len(data.texts)):
        spans(data, segment)
    for index, token in enumerate(data.tokens):
        if token.word is not None and not 0 <= token.word < len(data.words):
            raise InputError(
                f"token {index} ({token.text[:40]!a}) belongs to word {token.word}, "
                f"but there are {len(data.words)} words"
            )


def chips(data: TextData) -> tuple[Chip, ...]:
    """The tokens without a word, those of the same text together, in order of appearance."""
    groups: dict[str, list[float]] = {}
    for token in data.tokens:
        if token.word is None:
            groups.setdefault(token.text, []).append(token.relevance)
    return tuple(Chip(text, total(group), len(group)) for text, group in groups.items())


def tokens_of(data: TextData) -> tuple[tuple[Token, ...], ...]:
    """The tokens of each word, in the order of ``data.words``."""
    groups: list[list[Token]] = [[] for _ in data.words]
    for token in data.tokens:
        if token.word is not None:
            groups[token.word].append(token)
    return tuple(map(tuple, groups))


def strongest(data: TextData, count: int) -> tuple[Word, ...]:
    """The ``count`` words of largest absolute relevance, strongest first; zeros are left out."""
    ranked = sorted(data.words, key=lambda word: abs(word.relevance), reverse=True)
    return tuple(word for word in ranked[:count] if word.relevance != 0.0)


def total(values: Sequence[float]) -> float:
    """An exactly rounded sum; infinite, rather than an exception, where it overflows."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf
