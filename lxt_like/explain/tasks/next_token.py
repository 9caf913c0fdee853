"""Causal language models: the next token after a prompt."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from ...errors import InputError, TargetError
from ...targets import Token
from ..encode import Encoding
from ..messages import Chat
from ..rows import Row
from ..vocabulary import Vocabulary
from ..windows import truncate
from .spots import Ask, SpotTask, with_ids


class NextToken(SpotTask):
    """Target: a token by text or id; None: the likeliest.

    Special tokens that the tokenizer puts behind the prompt are left out: nothing is to
    follow them.  Of a prompt that is too long the beginning is cut off.
    """

    name = "the next token of a text"
    parts: ClassVar[tuple[str, ...]] = ("text",)
    chats: ClassVar[bool] = True

    def __init__(self, loaded: Any) -> None:
        super().__init__(loaded)
        self.vocabulary = Vocabulary(self.tokenizer)
        self.names = self.vocabulary

    def encode(self, text: str | Chat, pair: str | None, prefix: str | None) -> Encoding:
        made = super().encode(text, pair, prefix)
        if made.templated:
            return made
        kept = len(made)
        while kept > 1 and made.segments[kept - 1] is None and made.content(0):
            kept -= 1
        extras = {name: values[:kept] for name, values in made.extras.items()}
        return dataclasses.replace(
            made,
            ids=made.ids[:kept],
            pieces=made.pieces[:kept],
            segments=made.segments[:kept],
            spans=made.spans[:kept],
            extras=extras,
            notes=self._begun_twice(made),
        )

    def cut(self, encoding: Encoding, limit: int | None) -> list[int]:
        if limit is None or len(encoding) <= limit:
            return list(range(len(encoding)))
        own = len(encoding) - len(encoding.content(0))
        if encoding.templated and own >= limit:
            raise InputError(
                f"expected a shorter chat: of at most {limit} tokens that the model takes the "
                f"template's own are {own}; leave earlier messages out"
            )
        return truncate(encoding, limit, "left")

    def ask(self, row: Row, given: Any) -> Ask:
        if isinstance(given, Token):
            raise TargetError(
                "expected a token that may come next, got a place in the text: cut the prompt "
                "there and explain what follows it"
            )
        inner, notes = with_ids(given, self.vocabulary, self.spaced(row), self.name)
        return Ask(len(row.positions) - 1, inner, notes=notes)

    def spaced(self, row: Row) -> bool:
        """Whether a word that follows brings its own space."""
        if row.encoding.spaced is not None:
            return row.encoding.spaced
        text = row.encoding.texts[0]
        return bool(text) and not text[-1].isspace()

    def _begun_twice(self, made: Encoding) -> tuple[str, ...]:
        """What a reader must see of a text that brings the special token that is put before it."""
        begin = getattr(self.tokenizer, "bos_token_id", None)
        if begin is None or made.ids[:2] != [begin, begin]:
            return ()
        return (
            f"The text begins with {made.pieces[0]}, and the tokenizer puts another before it: "
            "give a chat as its messages, or leave the token out.",
        )
