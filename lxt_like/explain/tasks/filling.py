"""Masked language models: what fills the mask."""

from __future__ import annotations

import re
from typing import Any

from ...errors import InputError, ModelError, SampleTargetError
from ...targets import Token
from ..rows import Row
from ..vocabulary import Vocabulary
from .places import place_of, word_at
from .spots import Ask, SpotTask, with_ids


class Filling(SpotTask):
    """Target: a token by text or id, None: the likeliest; ``Token(at, c)`` where the text has
    several masks, or none.
    """

    name = "filling masks"

    def __init__(self, loaded: Any) -> None:
        super().__init__(loaded)
        self.vocabulary = Vocabulary(self.tokenizer)
        self.names = self.vocabulary

    def sample(self, text: str) -> tuple[str, str | None]:
        mask = getattr(self.tokenizer, "mask_token", None)
        return (text if mask is None else re.sub(r"\w+(?=\W*$)", lambda _: mask, text)), None

    def ask(self, row: Row, given: Any) -> Ask:
        what = ""
        if isinstance(given, Token) and given.at is not None:
            at: Any = given.at
            place = place_of(row, at, given.occurrence)
            masks = self._masks(row)
            if place in masks:
                what = f" (mask {masks.index(place) + 1} of {len(masks)})" if masks[1:] else ""
            else:
                what = f' in place of "{word_at(row, place)[0]}"'
        else:
            place = self._only_mask(row)
        position = row.positions[place]
        inner, notes = with_ids(
            given.c if isinstance(given, Token) else given,
            self.vocabulary,
            _begins_word(row, position),
            self.name,
        )
        return Ask(place, inner, what, notes)

    def _masks(self, row: Row) -> list[int]:
        mask = getattr(self.tokenizer, "mask_token_id", None)
        return [k for k, p in enumerate(row.positions) if row.encoding.ids[p] == mask]

    def _only_mask(self, row: Row) -> int:
        token = getattr(self.tokenizer, "mask_token", None)
        if token is None:
            raise ModelError(
                "the tokenizer has no mask token: set tokenizer.mask_token, or name a token by "
                "lxt.targets.Token(position)"
            )
        masks = self._masks(row)
        if len(masks) == 1:
            return masks[0]
        if masks:
            raise SampleTargetError(
                f"the text has {len(masks)} masks, and one is explained at a time: leave one, or "
                f"say in Python which by lxt.targets.Token({token!r}, ..., occurrence=0) to "
                f"{len(masks) - 1}"
            )
        if self.tokenizer.mask_token_id in row.encoding.ids:
            raise InputError(
                "the text is too long for the model, which does not read as far as the mask: "
                "shorten the text"
            )
        raise InputError(
            f"expected a text with {token} where a word is to be filled in, got "
            f"{row.encoding.texts[0][:60]!r}"
        )


def _begins_word(row: Row, position: int) -> bool:
    """Whether white space, or nothing, stands before a token."""
    segment, span = row.encoding.segments[position], row.encoding.spans[position]
    if segment is None or span is None:
        return True
    text = row.encoding.texts[segment]
    return span[0] == 0 or text[span[0] - 1].isspace() or text[span[0] : span[0] + 1].isspace()
