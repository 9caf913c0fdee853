"""Where the pieces of a slow tokenizer stand in the folded text, if some of them are not known.

A lost piece (an unknown token, or one that the text does not hold) may stand for any text, so a
piece behind it may stand in several places.  What speaks for a place: as many words are left out
as pieces were lost, no word is cut in two, and the pieces that follow are found behind it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .gaps import basic_tokens, is_dropped, parts
from .segment import Span

_BEAM = 16
_MARGIN = 6  # what costs so much more than the cheapest is given up
_REACH = 128  # characters a lone piece is looked for ahead: further off it is another one
_RUN = 64  # characters of the pieces that stand together which are looked for at once
_HITS = 64
_FEW = 4  # of these are followed up
_LOST = 3  # a known piece that is not found: dearer than a word too many or too few
_LEFT_OUT = 4  # text that no piece stands for


class Trail(NamedTuple):
    """The places of all pieces up to one, newest first: read backwards at the end."""

    before: Trail | None
    place: Span | None


class _State(NamedTuple):
    cost: int
    at: int  # behind the last piece with a place
    lost: int  # pieces without a place since
    trail: Trail | None


def fit(
    text: str,
    folded: str,
    origin: Sequence[int],
    surfaces: Sequence[str | None],
    unknown: str | None,
) -> list[Span | None]:
    """The cheapest places for all pieces.

    Args:
        text: the raw text.
        folded: the same, folded.
        origin: per character of ``folded`` the one of ``text`` that it comes from.
        surfaces: per piece its folded text; "" stands for none, None for any.
        unknown: the tokenizer's unknown token.

    Returns:
        Per piece its place in ``folded``, empty for one without text; None: lost.
    """
    ground = _Ground(text, folded, origin, parts(text, unknown, basic_tokens))
    beam = [_State(0, 0, 0, None)]
    for i in range(len(surfaces)):
        best: dict[tuple[int, int], _State] = {}
        for state in beam:
            for following in _followers(ground, surfaces, i, state):
                here = following.at, following.lost
                if here not in best or following.cost < best[here].cost:
                    best[here] = following
        dearest = min(state.cost for state in best.values()) + _MARGIN
        kept = [state for state in best.values() if state.cost <= dearest]
        beam = sorted(kept, key=lambda state: state[:3])[:_BEAM]
    end = len(folded)
    trail = min(beam, key=lambda s: (s.cost + ground.cost(s.at, end, s.lost), s.at)).trail
    places: list[Span | None] = []
    while trail is not None:
        places.append(trail.place)
        trail = trail.before
    return places[::-1]


def _followers(
    ground: _Ground, surfaces: Sequence[str | None], i: int, state: _State
) -> Iterator[_State]:
    """Where piece ``i`` may stand."""
    surface = surfaces[i]
    cost, at, lost, trail = state
    if surface == "":
        yield _State(cost, at, lost, Trail(trail, (at, at)))
        return
    if surface is None:
        yield _State(cost, at, lost + 1, Trail(trail, None))
        return
    width = len(surface)
    if not lost and ground.folded.startswith(surface, at):
        yield _State(cost, at + width, 0, Trail(trail, (at, at + width)))
        return
    starts = ground.candidates(surface, _run(surfaces, i), at, lost)
    for price, start in sorted((ground.cost(at, start, lost), start) for start in starts)[:_FEW]:
        yield _State(cost + price, start + width, 0, Trail(trail, (start, start + width)))
    yield _State(cost + _LOST, at, lost + 1, Trail(trail, None))


def _run(surfaces: Sequence[str | None], i: int) -> str:
    """The pieces from ``i`` to the next unknown one: they stand together."""
    run = ""
    for surface in surfaces[i:]:
        if surface is None or len(run) > _RUN:
            break
        run += surface
    return run


@dataclass(frozen=True)
class _Ground:
    """The text, and the words that an unknown token may stand for."""

    text: str
    folded: str
    origin: Sequence[int]
    words: Sequence[Span]

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", [start for start, _ in self.words])

    starts: Sequence[int] = ()

    def candidates(self, surface: str, run: str, at: int, lost: int) -> list[int]:
        """Places behind ``at``: of all pieces that stand together, else of this one alone."""
        expected = self._behind_words(at, lost)
        for wanted, reach in ((run, len(self.folded)), (surface, _REACH)):
            hits = [expected] if lost and self.folded.startswith(wanted, expected) else []
            hit = self.folded.find(wanted, at)
            while 0 <= hit <= at + reach and len(hits) < _HITS:
                hits.append(hit)
                hit = self.folded.find(wanted, hit + 1)
            if hits:
                return hits
        return []

    def cost(self, start: int, end: int, lost: int) -> int:
        """What speaks against ``folded[start:end]`` as the text of so many lost pieces."""
        if start == end and not lost:
            return 0
        a, b = self._raw_end(start), self._raw_start(end)
        first, last = bisect_left(self.starts, a), bisect_left(self.starts, b)
        cut = int(first > 0 and self.words[first - 1][1] > a)
        cut_behind = end < len(self.folded) and (
            self._splits(end) or last == len(self.starts) or self.starts[last] != b
        )
        words = last - first + cut
        if not lost:
            seen = any(not (c.isspace() or is_dropped(c)) for c in self.text[a:b])
            return _LEFT_OUT + words if seen else 0
        return abs(words - lost) + cut + int(self._splits(start)) + int(cut_behind)

    def _behind_words(self, at: int, count: int) -> int:
        """The place in ``folded`` so many words behind ``at``."""
        k = bisect_left(self.starts, self._raw_end(at)) + count
        return (
            bisect_left(self.origin, self.starts[k]) if k < len(self.starts) else len(self.folded)
        )

    def _splits(self, at: int) -> bool:
        """Whether ``at`` is within what one character of the text was folded to."""
        return 0 < at < len(self.folded) and self.origin[at] == self.origin[at - 1]

    def _raw_end(self, at: int) -> int:
        return self.origin[at - 1] + 1 if at else 0

    def _raw_start(self, at: int) -> int:
        return self.origin[at] if at < len(self.folded) else len(self.text)
