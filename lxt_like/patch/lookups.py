"""Which look-ups of a forward embed the token ids that are to be explained."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from torch import Tensor, nn

from ..errors import InputError
from .embedded import (
    TABLES,
    Layout,
    counts,
    input_embeddings,
    is_alike,
    is_plain,
    is_repeated,
    is_same,
    layout_of,
    looks_up,
    shifted,
    table_of,
)


class Likeness(IntEnum):
    """What speaks for embedded ids being the given ones; the least is the surest."""

    SAME = 0  # the very tensor, or a part of it
    EQUAL = 1
    SHIFTED = 2  # a decoder's copy
    ALIKE = 3  # but for a placeholder
    ASKED = 4  # by a module that is no plain table, and may only ask for their shape


@dataclass(frozen=True)
class Match:
    """Embedded ids that may be the given ones, and by which table they were embedded.

    ``sure``: they are no positions or segments that have the same values by chance; ``known``: the
    table may be the words', as far as the model says; ``doubted``: if not taken, that is a guess.
    """

    likeness: Likeness
    layout: Layout
    table: Any = field(compare=False, default=None)
    sure: bool = False
    known: bool = True
    doubted: bool = False


class Lookups:
    """The given ids by name, and what is known of the tables that embed them.

    The best match of a whole forward counts, and only the forward itself tells which that is: it
    is run again (:meth:`again`) if a worse one was taken before the best was seen.  Several tables
    may embed the same tokens, as long as it is sure that they are the tokens.
    """

    def __init__(self, model: nn.Module) -> None:
        self.ids: dict[str, Tensor] = {}
        self._model = model
        self._embeddings: list[nn.Module] | None = None
        self._best: dict[str, Match] = {}
        self._sought: set[str] = set()
        self._mistaken = False
        self._others: list[Tensor] = []
        self._doubted: dict[int, str] = {}

    def rows(self) -> int:
        """How many ids the largest table that may be the words' knows; 0: no table is known."""
        tables = self._known or [m for m in self._model.modules() if isinstance(m, TABLES)]
        weights = [w for table in tables if isinstance(w := getattr(table, "weight", None), Tensor)]
        return max((len(w) for w in weights), default=0)

    def refuse(self, arguments: dict[str, Any]) -> None:
        """The rest of the call's tensors are no ids to explain, whatever they hold: segments, say.

        Where one of them is the very tensor of ids, it is replaced by a copy.
        """
        rest = {n: t for n, t in arguments.items() if isinstance(t, Tensor) and n not in self.ids}
        for name, t in rest.items():
            if any(is_same(t, given) for given in self.ids.values()):
                rest[name] = arguments[name] = t.clone()
        self._others = [*rest.values()]

    def is_embedding(self, module: nn.Module) -> bool:
        """Whether the module may embed the token ids."""
        return bool(self.ids) and (isinstance(module, TABLES) or self._is_known(module))

    def find(
        self, module: nn.Module, ids: Tensor, out: Tensor, taken: Container[str]
    ) -> tuple[str, Match] | None:
        """The given ids that ``module`` has just embedded as ``ids``, if it has; how they match.

        ``taken``: the names of those that were found in this forward before.

        Raises:
            InputError: nothing tells in which layout the ids lie.
        """
        if any(is_same(ids, other) for other in self._others):
            return None
        matches = {
            name: match
            for name, given in self.ids.items()
            if (match := self._match(name, given, module, ids, out)) is not None
        }
        fitting = [name for name, match in matches.items() if self._fits(name, match)]
        if not fitting:
            self._doubted.update((id(module), n) for n, m in matches.items() if m.doubted)
            return None
        # equal ids under two names: one not seen yet (an encoder runs before its decoder)
        name = min(fitting, key=lambda n: (matches[n].likeness, n in taken, "decoder" in n))
        if not matches[name].layout.told:
            raise InputError(
                f"{name} equals itself with rows and columns exchanged, and the model embeds a "
                "copy of it, so it cannot be told whether that is time first; give the samples "
                "one at a time, or in another order"
            )
        if matches[name].known:
            self._take_in(name, matches[name], name in taken)
        return name, matches[name]

    def doubts(self) -> list[tuple[str, str]]:
        """(name, path) of tables that may have embedded the given ids too, and were not taken."""
        if not self._doubted:
            return []
        paths = {id(module): path for path, module in self._model.named_modules()}
        return [(name, paths[at]) for at, name in self._doubted.items()]

    def again(self, found: Container[str]) -> bool:
        """Whether to run the forward again: ids were taken wrongly, or by no known embedding."""
        if self._sought:
            return False
        self._sought = {name for name in self.ids if name not in found}
        if not (self._sought or self._mistaken):
            return False
        self._doubted.clear()
        return True

    def _match(
        self, name: str, given: Tensor, module: nn.Module, ids: Tensor, out: Tensor
    ) -> Match | None:
        table = table_of(module)
        same = is_same(ids, given)
        sought = name in self._sought and (same or is_repeated(ids, given))
        known = sought or self._is_known(module)
        if not (known or isinstance(module, TABLES)):
            return None
        if (layout := layout_of(ids, given)) is not None:
            same = same or any(layout.left_out)
            like = Likeness.SAME if same else Likeness.EQUAL
            looked, other = looks_up(module, ids, out), not counts(given)
            if not (looked and (other or is_plain(module))) and not (self._known and known):
                like = Likeness.ASKED
            sure = looked and (other or (same and is_plain(module)))
            # a model that names its table may number places as it likes
            doubted = looked and (same or not self._known)
            return Match(like, layout, table, sure, known, doubted)
        if not known:
            return None
        best = self._best.get(name)
        if not (self._known or (best is not None and best.table is table)):
            return None  # no table is known to be the words', this one may be any other
        if (layout := shifted(ids, given)) is not None:
            return Match(Likeness.SHIFTED, layout, table)
        alike = bool(self._known) and is_alike(ids, given)
        return Match(Likeness.ALIKE, Layout(), table) if alike else None

    def _take_in(self, name: str, match: Match, taken: bool) -> None:
        best = self._best.get(name)
        if best is None or self._grade(match) < self._grade(best):
            self._best[name] = match
            self._mistaken |= taken and best is not None and not self._fits(name, best)

    def _fits(self, name: str, match: Match) -> bool:
        """Whether the match is as good as the best one that is known."""
        best = self._best.get(name)
        if match.sure or not match.known:
            return match.sure
        if best is None or self._grade(match) < self._grade(best):
            return True
        same = match.table is best.table
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
            return isinstance(module, TABLES)
        if any(module is known for known in self._known):
            return True
        weights = [getattr(known, "weight", None) for known in self._known]
        return isinstance(module, TABLES) and any(module.weight is w for w in weights)
