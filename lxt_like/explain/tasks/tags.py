"""Token classification: the tag of one token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ...outputs import at_positions
from ...targets import Target, Token, class_names, indices_of, one
from ..rows import Found, Row
from .places import place_of, word_at
from .spots import Spot, SpotTask, merged, simple, token_logits

OUTSIDE = "O"
"""The tag that says: nothing here."""


@dataclass(frozen=True)
class TagAsk:
    """What is asked of one row: ``inner`` at the best of the positions ``among``.

    ``free``: nothing was asked for, neither a place nor a tag.
    """

    among: tuple[int, ...]
    inner: Target
    free: bool = False


@dataclass(frozen=True)
class TagSpot(Spot):
    """A spot that is chosen by the model's own outputs from ``among``, one tuple per row."""

    among: tuple[tuple[int, ...], ...]
    free: tuple[bool, ...]

    def read(self, output: Any, inputs: Mapping[str, Any]) -> Tensor:
        logits = token_logits(output, inputs)
        return at_positions(logits, self.places(logits))

    def places(self, logits: Tensor) -> list[int]:
        """Per row the place whose tag is most certain, of ``logits`` [rows, tokens, tags].

        That of the asked tag, else of any but ``O``; predicted ones come first.
        """
        frozen = logits.detach()
        names = self.names or {}
        outside = [i for i, name in names.items() if name.upper() == OUTSIDE]
        wanted = getattr(self.inner, "c", None)
        tags = None if wanted is None else indices_of(wanted, frozen[:, 0], names).tolist()
        places = []
        for k, among in enumerate(self.among):
            shares = frozen[k, list(among)].double().softmax(-1)
            if tags is not None:
                best = shares[:, tags[k]]
            else:
                inside = shares.clone()
                inside[:, outside] = 0
                best = inside.amax(-1)
                predicted = inside.argmax(-1) == shares.argmax(-1)
                best = best + predicted.to(best.dtype)
            places.append(among[int(best.argmax())])
        return places


class Tags(SpotTask):
    """Target: ``Token(word or position, tag)``; a tag alone: where it is most certain; None: the
    predicted tag of the token whose tag other than ``O`` is most certain.
    """

    name = "token classification"

    def __init__(self, loaded: Any, outputs: int | None = None) -> None:
        super().__init__(loaded)
        self.names = dict(
            class_names(loaded.model, outputs)
        )  # tags exclude each other, whatever is said

    def asks(self, target: Any, rows: Sequence[Row], total: int) -> list[Any]:
        asks = [self.ask(row, one(target, row.item, total, "text")) for row in rows]
        empty = torch.zeros(1, len(self.names or {}))
        for ask in asks if self.names else ():  # a mistake is found before anything is computed
            for tag in (getattr(ask.inner, "c", None), getattr(ask.inner, "foil", None)):
                indices_of(tag, empty, self.names or {})
        return asks

    def ask(self, row: Row, given: Any) -> TagAsk:
        wanted = given if isinstance(given, Token) else Token(None, given)
        inner = simple(wanted.c, self.name)
        if wanted.at is not None:
            at: Any = wanted.at
            return TagAsk((place_of(row, at, wanted.occurrence),), inner)
        content = row.encoding.segments
        among = tuple(k for k, p in enumerate(row.positions) if content[p] is not None)
        if not among:
            raise InputError(
                "expected a text with at least one token to tag, got "
                f"{row.encoding.texts[0]!r}: leave it out, or name a token by its position"
            )
        return TagAsk(among, inner, free=getattr(inner, "c", 0) is None)

    def target(self, asks: Sequence[Any]) -> TagSpot:
        return TagSpot(
            at=(0,) * len(asks),
            inner=merged([a.inner for a in asks]),
            names=self.names,
            what=("",) * len(asks),
            notes=((),) * len(asks),
            among=tuple(a.among for a in asks),
            free=tuple(a.free for a in asks),
        )

    def found(
        self, a: Any, target: Any, inputs: Mapping[str, Tensor], rows: Sequence[Row]
    ) -> list[Found]:
        places = target.places(token_logits(a.output, inputs))
        made = []
        for found, row, place, free in zip(
            super().found(a, target, inputs, rows), rows, places, target.free, strict=True
        ):
            word, pieces = word_at(row, place)
            notes = []
            if pieces > 1:
                piece = row.encoding.pieces[row.positions[place]]
                notes.append(f"{word!r} is {pieces} tokens: the tag is that of {piece!r}.")
            if free and found.index is not None and self._outside(found.index):
                notes.append("No token is tagged: this one is nearest to a tag other than O.")
            made.append(replace(found, label=f'{found.label} for "{word}"', notes=tuple(notes)))
        return made

    def _outside(self, index: int) -> bool:
        return (self.names or {}).get(index, "").upper() == OUTSIDE
