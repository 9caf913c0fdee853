"""Offsets for tokenizers that give none: the pieces of a slow tokenizer found in the raw text.

First the exact ways: pieces that join to the text itself, to the text with a marker in place
of its spaces, or to its UTF-8 bytes (written as Latin-1 or in GPT-2's alphabet).  Otherwise
both sides are folded (case, accents, compatibility forms, white space) and fitted to each other
from left to right; a piece that cannot be found (an unknown token, or a form we do not foresee)
takes the text between its neighbours, so that nothing is lost or counted twice.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache

from .fitting import fit
from .gaps import share_gaps
from .segment import Span

_SPACE_MARKS = "▁Ġ"
_TAIL = "\0"  # no folded text holds a control character
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def align(text: str, pieces: Sequence[str], unknown: str | None = None) -> list[Span]:
    """Find the pieces of a tokenizer in the text they were made from.

    Args:
        text: the raw text.
        pieces: what ``tokenizer.tokenize(text)`` gave.
        unknown: the tokenizer's unknown token; it may stand for any text.

    Returns:
        One ``(start, end)`` per piece, in characters of ``text``; ``start == end`` for a piece
        that stands for no text (a bare marker).
    """
    if not pieces:
        return []
    return _exactly(text, pieces) or _by_folding(text, pieces, unknown)


def _exactly(text: str, pieces: Sequence[str]) -> list[Span] | None:
    raw = text.encode("utf-8", "surrogatepass")
    char_of = [i for i, c in enumerate(text) for _ in c.encode("utf-8", "surrogatepass")]
    for read in (_as_text, _as_spaced_text, _as_latin1, _as_gpt2_bytes):
        parts = [read(piece) for piece in pieces]
        spans = None if None in parts else _walk(text, raw, char_of, parts)
        if spans is not None:
            return spans
    return None


def _walk(
    text: str, raw: bytes, char_of: Sequence[int], parts: Sequence[bytes | None]
) -> list[Span] | None:
    """The parts one behind the other; only white space may be left out between them."""
    surfaces = [part or b"" for part in parts]
    if surfaces[0].startswith(b" ") and not raw.startswith(surfaces[0]):
        surfaces[0] = surfaces[0][1:]  # SentencePiece puts a space in front of the text
    ahead = b"".join(surfaces)
    done = 0
    spans: list[Span] = []
    at = 0
    for surface in surfaces:
        while surface and at < len(raw) and (at == 0 or char_of[at] != char_of[at - 1]):
            char = text[char_of[at]]
            width = len(_as_text(char))
            # by whole characters: a space and what follows may begin with the same bytes
            if not char.isspace() or ahead.startswith(raw[at : at + width], done):
                break
            at += width
        if not raw.startswith(surface, at):
            return None
        first = char_of[at] if at < len(raw) else len(text)
        at += len(surface)
        done += len(surface)
        spans.append((first, char_of[at - 1] + 1 if surface else first))
    return spans if not raw[at:].decode("utf-8", "replace").strip() else None


def _as_text(piece: str) -> bytes:
    return piece.encode("utf-8", "surrogatepass")


def _as_spaced_text(piece: str) -> bytes:
    return _as_text(piece.translate({ord(mark): " " for mark in _SPACE_MARKS}))


def _as_latin1(piece: str) -> bytes:
    # a piece that is no single byte is an added token and stands for itself
    return piece.encode("latin-1") if len(piece) == 1 and ord(piece) < 256 else _as_text(piece)


def _as_gpt2_bytes(piece: str) -> bytes | None:
    alphabet = gpt2_alphabet()
    return bytes(alphabet[c] for c in piece) if all(c in alphabet for c in piece) else None


def _by_folding(text: str, pieces: Sequence[str], unknown: str | None) -> list[Span]:
    folded, origin = _fold_text(text)
    surfaces, tails = _surfaces(pieces, unknown)
    found = fit(text, folded, origin, surfaces, unknown)
    spans = _resolve(text, origin, found, unknown)
    for i in tails:
        spans[i] = spans[i - 1]
    return spans


def _resolve(
    text: str, origin: Sequence[int], found: Sequence[Span | None], unknown: str | None
) -> list[Span]:
    """From folded to raw offsets; pieces without a place share the gap they stand in."""
    behind: list[int] = []  # where the next piece with a place begins
    following = len(text)
    for place in reversed(found):
        behind.append(following)
        if place and place[0] < place[1]:
            following = origin[place[0]]
    behind.reverse()
    spans: list[Span] = []
    before = 0
    for place, following in zip(found, behind, strict=True):
        if place is None:
            spans.append((_behind_marks(text, before), following))
        elif place[0] == place[1]:
            spans.append((before, before))
        else:
            before = origin[place[1] - 1] + 1
            spans.append((origin[place[0]], before))
    share_gaps(text, found, spans, unknown)
    return spans


def _behind_marks(text: str, at: int) -> int:
    """Accents that were stripped belong to the letter before them, not to the gap."""
    while 0 < at < len(text) and unicodedata.category(text[at]) in ("Mn", "Me", "Cf"):
        at += 1
    return at


def _surfaces(pieces: Sequence[str], unknown: str | None) -> tuple[list[str | None], list[int]]:
    """The folded text of each piece without its markers; None where it is not known.

    The second list names the pieces that stand for the same character as the one before them.
    """
    surfaces: list[str | None] = []
    tails: list[int] = []
    i = 0
    while i < len(pieces):
        stop = i
        while stop < len(pieces) and _BYTE_PIECE.fullmatch(pieces[stop]):
            stop += 1
        if stop > i:
            for surface in _byte_surfaces(pieces[i:stop]):
                if surface == _TAIL:
                    tails.append(len(surfaces))
                surfaces.append("" if surface == _TAIL else surface)
            i = stop
            continue
        piece = pieces[i]
        surfaces.append(None if piece == unknown else _fold(_without_markers(piece)))
        i += 1
    return surfaces, tails


def _byte_surfaces(pieces: Sequence[str]) -> list[str | None]:
    """SentencePiece's byte fallback: a character is known at its first byte."""
    data = bytes(int(piece[3:5], 16) for piece in pieces)
    try:
        chars = data.decode("utf-8")
    except UnicodeDecodeError:
        return [None] * len(pieces)
    surfaces: list[str | None] = []
    for char in chars:
        surfaces += [_fold(char), *[_TAIL] * (len(char.encode("utf-8")) - 1)]
    return surfaces


def _without_markers(piece: str) -> str:
    if piece.startswith("##") and len(piece) > 2:
        piece = piece[2:]
    if piece.endswith("</w>"):
        piece = piece[:-4]
    elif piece.endswith("@@") and len(piece) > 2:
        piece = piece[:-2]
    return piece.strip(_SPACE_MARKS)


def _fold_text(text: str) -> tuple[str, list[int]]:
    chars: list[str] = []
    origin: list[int] = []
    for i, char in enumerate(text):
        for part in _fold(char):
            chars.append(part)
            origin.append(i)
    return "".join(chars), origin


@lru_cache(maxsize=1 << 16)
def _fold(text: str) -> str:
    """Without case, accents, compatibility forms, white space and controls."""
    flat = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text.casefold()).casefold())
    return "".join(c for c in flat if unicodedata.category(c) not in ("Mn", "Cc", "Cf", "Zs"))


@cache
def gpt2_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins: visible Latin-1 as itself, the other bytes from U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(b): b for b in visible} | {chr(0x100 + i): b for i, b in enumerate(hidden)}
