"""Which look-ups of a forward embed the token ids that are to be explained."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from torch import Tensor, nn

from .embedded import (
    Layout,
    input_embeddings,
    is_alike,
    is_repeated,
    is_same,
    layout_of,
    shifted,
)


class Likeness(IntEnum):
    """What speaks for embedded ids being the given ones; the least is the surest."""

    SAME = 0  # the very tensor, or a part of it
    EQUAL = 1
    SHIFTED = 2  # a decoder's copy
    ALIKE = 3  # but for a placeholder


@dataclass(frozen=True)
class Match:
    """Embedded ids that may be the given ones, and by which table they were embedded."""

    likeness: Likeness
    layout: Layout
    weight: Any = field(compare=False, default=None)


class Lookups:
    """The given ids by name, and what is known of the tables that embed them.

    The best match of a whole forward counts, and only the forward itself tells which that is: it
    is run again (:meth:`again`) if a worse one was taken before the best was seen.
    """

    def __init__(self, model: nn.Module) -> None:
        self.ids: dict[str, Tensor] = {}
        self._model = model
        self._embeddings: list[nn.Module] | None = None
        self._best: dict[str, Match] = {}
        self._sought: set[str] = set()
        self._mistaken = False
        self._others: list[Tensor] = []

    def rows(self) -> int:
        """How many ids the largest table that may be the words' knows; 0: no table is known."""
        tables = self._known or [m for m in self._model.modules() if isinstance(m, nn.Embedding)]
        weights = [w for table in tables if isinstance(w := getattr(table, "weight", None), Tensor)]
        return max((len(w) for w in weights), default=0)

    def refuse(self, arguments: Iterable[Any]) -> None:
        """These tensors of the call are no ids to explain, whatever they hold: segments, say."""
        self._others = [
            t
            for t in arguments
            if isinstance(t, Tensor) and not any(is_same(t, given) for given in self.ids.values())
        ]

    def is_embedding(self, module: nn.Module) -> bool:
        """Whether the module may embed the token ids."""
        return bool(self.ids) and (isinstance(module, nn.Embedding) or self._is_known(module))

    def find(
        self, module: nn.Module, ids: Tensor, taken: Container[str]
    ) -> tuple[str, Layout] | None:
        """The given ids that ``module`` has just embedded as ``ids``, if it has; where they lie.

        ``taken``: the names of those that were found in this forward before.
        """
        if any(is_same(ids, other) for other in self._others):
            return None
        matches = {
            name: match
            for name, given in self.ids.items()
            if (match := self._match(name, given, module, ids)) is not None
        }
        fitting = [name for name, match in matches.items() if self._fits(name, match)]
        if not fitting:
            return None
        # equal ids under two names: one not seen yet (an encoder runs before its decoder)
        name = min(fitting, key=lambda n: (matches[n].likeness, n in taken, "decoder" in n))
        self._take_in(name, matches[name], name in taken)
        return name, matches[name].layout

    def again(self, found: Container[str]) -> bool:
        """Whether to run the forward again: ids were taken wrongly, or by no known embedding."""
        if self._sought:
            return False
        self._sought = {name for name in self.ids if name not in found}
        return bool(self._sought) or self._mistaken

    def _match(self, name: str, given: Tensor, module: nn.Module, ids: Tensor) -> Match | None:
        weight = getattr(module, "weight", None)
        same = is_same(ids, given)
        sought = name in self._sought and (same or is_repeated(ids, given))
        if not (sought or self._is_known(module)):
            return None
        if (layout := layout_of(ids, given)) is not None:
            same = same or any(layout.left_out)
            return Match(Likeness.SAME if same else Likeness.EQUAL, layout, weight)
        best = self._best.get(name)
        if not (self._known or (best is not None and best.weight is weight)):
            return None  # no table is known to be the words', this one may be any other
        if (layout := shifted(ids, given)) is not None:
            return Match(Likeness.SHIFTED, layout, weight)
        alike = bool(self._known) and is_alike(ids, given)
        return Match(Likeness.ALIKE, Layout(), weight) if alike else None

    def _take_in(self, name: str, match: Match, taken: bool) -> None:
        best = self._best.get(name)
        if best is None or self._grade(match) < self._grade(best):
            self._best[name] = match
            self._mistaken |= taken and best is not None and not self._fits(name, best)

    def _fits(self, name: str, match: Match) -> bool:
        """Whether the match is as good as the best one that is known."""
        best = self._best.get(name)
        if best is None or self._grade(match) < self._grade(best):
            return True
        same = match.weight is best.weight
        if self._grade(match) > self._grade(best):
            return same and match.likeness is not Likeness.ALIKE
        return same or match.likeness is Likeness.SHIFTED

    def _grade(self, match: Match) -> int:
        """What competes: placeholders with the ids; where no table is the words', the tables."""
        return int(match.likeness is Likeness.ALIKE) if self._known else int(match.likeness)

    @property
    def _known(self) -> list[nn.Module]:
        if self._embeddings is None:
            self._embeddings = input_embeddings(self._model)
        return self._embeddings

    def _is_known(self, module: nn.Module) -> bool:
        """Whether the model calls it its input embedding; of a model that does not say: any."""
        if not self._known:
            return isinstance(module, nn.Embedding)
        if any(module is known for known in self._known):
            return True
        weights = [getattr(known, "weight", None) for known in self._known]
        return isinstance(module, nn.Embedding) and any(module.weight is w for w in weights)
