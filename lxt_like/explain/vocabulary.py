"""Tokens of a vocabulary as people write them: a string to its id, an id to its text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

from ..errors import TargetError
from .align import gpt2_alphabet

_SPACE = "▁"
_BYTE = re.compile("[\udc80-\udcff]")
"""A byte that is no text, as ``surrogateescape`` writes it."""
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Vocabulary(Mapping[int, str]):
    """Token id -> its text in quotes, the space before it included: ``" mat"``.

    Unlike ``tokenizer.decode`` it keeps ``mat`` and `` mat`` apart.
    """

    of_tokens: ClassVar[bool] = True
    """The names are not those of classes, for messages."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise KeyError(index)
        quoted = json.dumps(self._text(index), ensure_ascii=False)
        return _BYTE.sub(lambda m: f"\\x{ord(m[0]) - 0xDC00:02x}", quoted)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return len(self.tokenizer)

    def text(self, index: int) -> str:
        """The text that token ``index`` stands for inside a text; ``\\xc5`` for a part of one."""
        text = self._text(index)
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    def _text(self, index: int) -> str:
        """The same with bytes that are no text as ``surrogateescape`` writes them."""
        piece = self.tokenizer.convert_ids_to_tokens(index)
        if not isinstance(piece, str):
            return str(index)
        if piece in self._special:
            return piece
        if self.bytewise:
            alphabet = gpt2_alphabet()
            if all(c in alphabet for c in piece):
                data = bytes(alphabet[c] for c in piece)
                return data.decode("utf-8", "surrogateescape")
            return piece
        single = _BYTE_PIECE.fullmatch(piece)
        if single and int(single[1], 16) < 128:
            return chr(int(single[1], 16))
        return piece.replace(_SPACE, " ")

    def find(self, given: str, spaced: bool) -> tuple[int, str]:
        """The id of a token given as text, and a sentence where it could have been another.

        Args:
            given: the token's text.  With a space in front it is meant so; without, it may be
                the token with or without one.
            spaced: whether the one with a space is meant then, where there are both.

        Raises:
            TargetError: no token, or more than one, makes up this text.
        """
        bare = given.removeprefix(" ")
        forms = [" " + bare, bare]
        if given == bare and not spaced:
            forms.reverse()
        hits = {form: index for form in forms if (index := self._exactly(form)) is not None}
        if not hits or not bare:
            return self._encoded(given), ""
        form, index = next(iter(hits.items()))
        if given != form and given != bare:
            return self._encoded(given), ""
        others = [i for i in hits.values() if i != index]
        if not others or given != bare:
            return index, ""
        return index, (
            f"{given!r} was read as the token {self[index]} (id {index}); "
            f"{self[others[0]]} is another (id {others[0]})."
        )

    def _exactly(self, text: str) -> int | None:
        """The id of the one token with this text, if there is one."""
        if text in self._special:
            return self._ids[text]
        if not self.bytewise:
            if "\x80" in self._ids and not text.isascii():
                return None  # single bytes written as Latin-1: only the tokenizer can tell
            return self._ids.get(text.replace(" ", _SPACE), self._ids.get(text))
        of_byte = {byte: char for char, byte in gpt2_alphabet().items()}
        piece = "".join(of_byte[byte] for byte in text.encode("utf-8", "surrogatepass"))
        return self._ids.get(piece)

    def _encoded(self, given: str) -> int:
        ids = self.tokenizer(given, add_special_tokens=False)["input_ids"]
        unknown = getattr(self.tokenizer, "unk_token_id", None)
        if len(ids) == 1 and ids[0] != unknown:
            return int(ids[0])
        pieces = [self[i] for i in ids]
        if len(ids) > 1 and unknown not in ids:
            raise TargetError(
                f"expected a target of one token, got {given!r}, which is {len(ids)} tokens "
                f"({', '.join(pieces[:6])}{', ...' if len(pieces) > 6 else ''}): a model predicts "
                "one at a time, so explain the first, or all of them with lxt.explain_generation"
            )
        raise TargetError(
            f"expected a target that is a token of the model, got {given!r}, which is not in its "
            "vocabulary: give another, or a token's id"
        )

    @cached_property
    def bytewise(self) -> bool:
        """Whether pieces are written in GPT-2's alphabet of bytes."""
        return "Ġ" in self._ids and " " not in self._ids

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {str(piece): int(i) for piece, i in self.tokenizer.get_vocab().items()}

    @cached_property
    def _special(self) -> frozenset[str]:
        return frozenset(self.tokenizer.all_special_tokens)
