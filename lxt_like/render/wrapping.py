"""Breaking spans into lines, for whatever measures their width (terminal cells, points)."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from .layout import Span, printed

Measure = Callable[[str], float]

_NO_BREAK = "\u00a0\u2007\u202f"
# not at the start of a line in Chinese and Japanese typesetting (the most common of them)
_CLOSING = frozenset("、。，．：；？！）］｝〉》」』】〕…ーゝゞ々’”")


@dataclass(frozen=True, slots=True)
class Piece:
    """A printable run on one line; ``word`` as in :class:`~lxt_like.render.layout.Span`."""

    text: str
    word: int | None
    width: float


def clusters(text: str) -> Iterator[str]:
    """What a reader takes for one character: base and marks, joined emoji, flags.

    A small part of Unicode's UAX #29, enough never to break inside an emoji or an accent.
    """
    current = ""
    for char in text:
        if current and (_extends(char) or current[-1] == "\u200d" or _second_flag(current, char)):
            current += char
        else:
            if current:
                yield current
            current = char
    if current:
        yield current


def _extends(char: str) -> bool:
    code = ord(char)
    if code < 0x300:
        return False
    return (
        code in (0x200C, 0x200D)
        or 0x1F3FB <= code <= 0x1F3FF  # skin tones
        or 0xE0020 <= code <= 0xE007F  # tags in flags
        or unicodedata.category(char) in ("Mn", "Me", "Mc")
    )


def _second_flag(current: str, char: str) -> bool:
    return (
        len(current) == 1 and 0x1F1E6 <= ord(current) <= 0x1F1FF and 0x1F1E6 <= ord(char) <= 0x1F1FF
    )


def _is_space(char: str) -> bool:
    return char.isspace() and char not in _NO_BREAK


def _blank(text: str) -> bool:
    """Nothing but spaces: a space that carries an accent is no place to cut."""
    return all(_is_space(char) for char in text)


def _is_wide(cluster: str) -> bool:
    return unicodedata.east_asian_width(cluster[0]) in ("W", "F")


def _runs(text: str) -> Iterator[tuple[str, bool, bool]]:
    """Runs of one span as (text, is space, may break before): each wide character is its own."""
    for space, group in groupby(clusters(text), key=_blank):
        if space:
            yield "".join(group), True, True
            continue
        for wide, run in groupby(group, key=_is_wide):
            if wide:
                yield from ((c, False, c[0] not in _CLOSING) for c in run)
            else:
                yield "".join(run), False, False


def wrap(spans: Iterable[Span], width: float, measure: Measure) -> list[list[Piece]]:
    """Lines of at most ``width`` (in the units of ``measure``).

    Lines break at newlines, at spaces (which then go), beside wide characters, and, where what
    holds together is wider than a line, at no-break spaces and between characters.  A single
    character wider than the line is still placed, alone.  Acting characters come out in visible
    notation, tabs as four spaces.  At least one line is returned.
    """
    lines: list[list[Piece]] = []
    for row in _hard_lines(spans):
        lines.extend(_fill(row, width, measure))
    return [_merge(line) for line in lines] or [[]]


def _hard_lines(spans: Iterable[Span]) -> list[list[Span]]:
    rows: list[list[Span]] = [[]]
    for span in printed(spans):
        first, *rest = span.text.replace("\t", "    ").split("\n")
        rows[-1].append(Span(first, span.word))
        rows.extend([Span(text, span.word)] for text in rest)
    return rows


def _fill(row: Sequence[Span], width: float, measure: Measure) -> Iterator[list[Piece]]:
    line: list[Piece] = []
    used = 0.0
    for atom in _atoms(row, measure):
        size = _width(atom)
        if used + size > width and line:
            if _blank(atom[0].text):
                used = math.inf  # the spaces go, and whatever follows starts a line
                continue
            while len(line) > 1 and _blank(line[-1].text):
                line.pop()
            yield line
            line, used = [], 0.0
        for unit in [atom] if size <= width else _split(atom, width, measure):
            size = _width(unit)
            if used + size > width and line:
                yield line
                line, used = [], 0.0
            line += unit
            used += size
    yield line


def _atoms(row: Sequence[Span], measure: Measure) -> Iterator[list[Piece]]:
    """Groups of pieces between two places where a line may break."""
    atom: list[Piece] = []
    after_wide = False
    last = ""
    for span in row:
        for text, space, breaks in _runs(span.text):
            closing = text[0] in _CLOSING
            if atom and (breaks or (after_wide and not closing) or _blank(atom[-1].text)):
                yield atom
                atom = []
            atom.append(Piece(text, span.word, _advance(last, text, measure)))
            last = text
            after_wide = not space and _is_wide(text)
    if atom:
        yield atom


def _split(atom: list[Piece], width: float, measure: Measure) -> list[list[Piece]]:
    """What stays on one line of an atom that is too wide for one.

    Parts between no-break spaces stay whole where they fit, those that do not are cut between
    characters; a no-break space holds its neighbours as long as these fit on a line.
    """
    units: list[list[Piece]] = []
    held = False
    for tie, part in groupby(_cut(atom, measure), key=lambda piece: piece.text in _NO_BREAK):
        run = list(part)
        for unit in [run] if _width(run) <= width else [[piece] for piece in run]:
            if units and (tie or held) and _width(units[-1]) + _width(unit) <= width:
                units[-1] += unit
            else:
                units.append(unit)
            held = False
        held = tie
    return units


def _cut(atom: list[Piece], measure: Measure) -> Iterator[Piece]:
    last = ""
    for piece in atom:
        for cluster in clusters(piece.text):
            yield Piece(cluster, piece.word, _advance(last, cluster, measure))
            last = cluster


def _width(pieces: Iterable[Piece]) -> float:
    return sum(piece.width for piece in pieces)


def _advance(last: str, text: str, measure: Measure) -> float:
    """How much wider a line gets by ``text``: a word may be cut before a mark or selector that
    changes the width of the character in front of it."""
    if last and _extends(text[0]):
        *_, base = clusters(last)
        return measure(base + text) - measure(base)
    return measure(text)


def _merge(line: list[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in line:
        if merged and piece.word == merged[-1].word:
            last = merged.pop()
            piece = Piece(last.text + piece.text, piece.word, last.width + piece.width)
        merged.append(piece)
    return merged
