"""Encoder-decoders that write: the next token after a source and the beginning of the output."""

from __future__ import annotations

import dataclasses
from typing import Any

from ...errors import InputError, ModelError
from ..encode import Encoding, encode_target
from ..messages import Chat
from ..rows import Row
from .base import Task
from .next_token import NextToken


class Seq2Seq(NextToken):
    """Target as for a causal language model; ``prefix`` is what the decoder has written."""

    name = "text to text"
    parts = ("text", "prefix")
    chats = False

    def encode(self, text: str | Chat, pair: str | None, prefix: str | None) -> Encoding:
        if pair is not None:
            raise InputError(
                "expected no pair, since this is a model for text to text: what it has written "
                "so far is given by prefix="
            )
        source = Task.encode(self, text, None, None)
        return encode_target(self.tokenizer, source, prefix or "", self._start())

    def cut(self, encoding: Encoding, limit: int | None) -> list[int]:
        split = encoding.decoder or 0
        written = list(range(split, len(encoding)))
        if limit is not None and len(written) > limit:
            raise InputError(
                f"expected a prefix of at most {limit} tokens, which is what the model takes, got "
                f"{len(written)}"
            )
        source = dataclasses.replace(
            encoding,
            texts=encoding.texts[:1],
            ids=encoding.ids[:split],
            segments=encoding.segments[:split],
        )
        return Task.cut(self, source, limit) + written

    def ask(self, row: Row, given: Any) -> Any:
        made = super().ask(row, given)
        # the logits are those of the decoder's places
        return type(made)(len(row.prefix) - 1, made.inner, made.what, made.notes)

    def spaced(self, row: Row) -> bool:
        written = "".join(row.encoding.texts[1:])  # its tokens may make no text yet
        if written:
            return not written[-1].isspace()
        return not self.vocabulary.bytewise

    def _start(self) -> list[int]:
        """What every output begins with, as when the model generates."""
        configs = [getattr(self.loaded.model, "generation_config", None), self.config]
        start = _first(configs, "decoder_start_token_id")
        if start is None:
            start = _first(configs, "bos_token_id")
        if start is None:
            raise ModelError(
                "the model does not say what its outputs begin with: set "
                "model.config.decoder_start_token_id"
            )
        forced = _first(configs, "forced_bos_token_id")
        return [start] if forced is None else [start, forced]


def _first(configs: list[Any], name: str) -> int | None:
    for config in configs:
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    return None
