"""Words of a text and the tokens of a row: which token is meant, what it is called."""

from __future__ import annotations

import re
from numbers import Integral

from ...errors import InputError, SampleTargetError, TargetError
from ..encode import Encoding
from ..rows import Row
from ..words import words_and_tokens


def place_of(row: Row, at: int | str, occurrence: int | None = None) -> int:
    """The position in ``row`` of the token meant by a position in the text's tokens or a word.

    Of a word, or a phrase, the first token is meant.

    Raises:
        TargetError: it is neither a position nor a word.
        SampleTargetError: there is no such token, or the word stands in the text several times.
        InputError: the text does not hold the word, or the model does not read that far.
    """
    if isinstance(at, str):
        position = _first_token(row.encoding, at, occurrence)
    elif isinstance(at, bool) or not isinstance(at, Integral):
        raise TargetError(f"expected a token's position or a word, got {at!r}")
    elif not -len(row.encoding) <= at < len(row.encoding):
        raise SampleTargetError(
            f"expected a token's position from 0 to {len(row.encoding) - 1}, got {at}: "
            "the text has no more tokens, special ones included"
        )
    else:
        position = int(at) % len(row.encoding)
    if position not in row.positions:
        raise InputError(
            f"the model does not read as far as {at!r}, since the text is too long for it: "
            "shorten the text"
        )
    return row.positions.index(position)


def word_at(row: Row, place: int) -> tuple[str, int]:
    """The word that the token at ``place`` of a row belongs to, and of how many tokens it is.

    A token of no word is called by its piece.
    """
    words, tokens = words_and_tokens(row.encoding, [0.0] * len(row.encoding))
    token = tokens[row.positions[place]]
    if token.word is None:
        return token.text, 1
    return words[token.word].text, sum(t.word == token.word for t in tokens)


def _first_token(encoding: Encoding, word: str, occurrence: int | None) -> int:
    hits = _tokens_of(encoding, word, 0) or _tokens_of(encoding, word, re.IGNORECASE)
    if not hits:
        raise InputError(f"expected a word of the text, got {word!r}, which it does not hold")
    if occurrence is None and len(hits) > 1:
        raise SampleTargetError(
            f"{word!r} stands {len(hits)} times in the text: name it with the words behind it "
            f"(the first token is meant), or in Python by occurrence=0 to {len(hits) - 1} or a "
            "token's position"
        )
    which = 0 if occurrence is None else occurrence
    whole = isinstance(which, Integral) and not isinstance(which, bool)
    if not whole or not 0 <= which < len(hits):
        raise (SampleTargetError if whole else TargetError)(
            f"expected an occurrence of {word!r} from 0 to {len(hits) - 1}, got {which!r}"
        )
    return hits[which]


def _tokens_of(encoding: Encoding, word: str, flags: int) -> list[int]:
    """The first token of every place where ``word`` stands, whole words before parts of words."""
    words, _ = words_and_tokens(encoding, [0.0] * len(encoding))
    whole, parts = [], []
    for segment, text in enumerate(encoding.texts):
        starts = {w.start for w in words if w.segment == segment}
        ends = {w.end for w in words if w.segment == segment}
        for match in re.finditer(re.escape(word), text, flags) if word else ():
            position = first_in(encoding, segment, match.start(), match.end())
            if position is None:
                continue
            parts.append(position)
            if match.start() in starts and match.end() in ends:
                whole.append(position)
    return whole or parts


def first_in(encoding: Encoding, segment: int, start: int, end: int) -> int | None:
    """The first token with text between two characters of a text."""
    return next(iter(all_in(encoding, segment, start, end)), None)


def all_in(encoding: Encoding, segment: int, start: int, end: int) -> list[int]:
    """The tokens with text between two characters of a text; a space alone is no text."""
    found = []
    for i in encoding.content(segment):
        first, last = encoding.spans[i] or (0, 0)
        first, last = max(first, start), min(last, end)
        if first < last and not encoding.texts[segment][first:last].isspace():
            found.append(i)
    return found
