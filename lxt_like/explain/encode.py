"""One text (or pair of texts) as the model will see it: ids, pieces and where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import InputError, ModelError
from .align import align
from .segment import Span

Place = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Encoding:
    """The tokens of one text or pair, special tokens included, nothing cut off yet.

    All lists have one entry per token.  ``segments`` holds the text a token was made from (0,
    or 1 for the pair) and None for the special tokens that the tokenizer adds; ``spans`` are
    raw character offsets into that text.  ``extras`` are further inputs that run along with
    the ids (``token_type_ids``).  From ``decoder`` on the tokens are the decoder's.
    ``templated``: a chat's template wrote the text, special tokens and all; then words are
    within ``bounds`` alone, where the messages stand, and ``spaced`` says whether an answer
    begins with a space (None: as the text ends).  ``notes`` are sentences for the reader.
    """

    texts: tuple[str, ...]
    ids: list[int]
    pieces: list[str]
    segments: list[int | None]
    spans: list[Span | None]
    extras: dict[str, list[int]] = field(default_factory=dict)
    decoder: int | None = None
    templated: bool = False
    bounds: tuple[Span, ...] | None = None
    spaced: bool | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def content(self, segment: int) -> list[int]:
        """Positions of the tokens made from one of the texts."""
        return [i for i, s in enumerate(self.segments) if s == segment]


def encode(tokenizer: Any, text: str, pair: str | None = None, *, special: bool = True) -> Encoding:
    """Tokenize without truncation, with offsets into the raw text.

    Fast tokenizers give the offsets; for the others they are found by :func:`.align.align`.
    ``special``: whether special tokens are added.

    Raises:
        InputError: the tokenizer makes no token at all of the text.
        ModelError: the tokenizer adds its special tokens in a way that cannot be followed.
    """
    texts = (text,) if pair is None else (text, pair)
    options = {"truncation": False, "padding": False, "verbose": False}
    options["add_special_tokens"] = special
    if getattr(tokenizer, "is_fast", False):
        encoded = tokenizer(text, pair, return_offsets_mapping=True, **options)
        segments = list(encoded.sequence_ids(0))
        offsets = encoded.pop("offset_mapping")
        spans = [
            None if s is None else (int(span[0]), int(span[1]))
            for s, span in zip(segments, offsets, strict=True)
        ]
    else:
        encoded = tokenizer(text, pair, **options)
        segments, spans = _place_slowly(tokenizer, texts, [int(i) for i in encoded["input_ids"]])
    ids = [int(i) for i in encoded["input_ids"]]
    if not ids:
        raise InputError(
            f"expected a text with at least one token, got {text!r}, of which the tokenizer "
            "makes none and to which it adds no special token: leave the text out"
        )
    extras = {
        name: [int(v) for v in values]
        for name, values in encoded.items()
        if name not in ("input_ids", "attention_mask") and _runs_along(values, len(ids))
    }
    return Encoding(texts, ids, pieces_of(tokenizer, ids), segments, spans, extras)


def encode_target(tokenizer: Any, source: Encoding, prefix: str, start: list[int]) -> Encoding:
    """A source with the beginning of a decoder's output behind it: the second text, if any.

    Args:
        tokenizer: the model's own; one with a vocabulary for outputs is told so.
        source: the source's tokens.
        prefix: what the decoder has written; may be empty.
        start: ids of the special tokens that every output begins with.
    """
    begun = Encoding(
        source.texts,
        source.ids + start,
        source.pieces + pieces_of(tokenizer, start),
        [*source.segments, *(None for _ in start)],
        [*source.spans, *(None for _ in start)],
        source.extras,
        len(source),
    )
    return followed(begun, encode_output(tokenizer, prefix)) if prefix else begun


def encode_output(tokenizer: Any, text: str) -> Encoding:
    """What a decoder has written: no special tokens, in the vocabulary for outputs."""
    with writing(tokenizer):
        return encode(tokenizer, text, special=False)


@contextmanager
def writing(tokenizer: Any) -> Iterator[None]:
    """A tokenizer with a vocabulary for outputs is told so, as it itself does for text_target=."""
    switch = getattr(tokenizer, "_switch_to_target_mode", None)
    back = getattr(tokenizer, "_switch_to_input_mode", None)
    if not callable(switch) or not callable(back):
        yield
        return
    switch()
    try:
        yield
    finally:
        back()


def followed(read: Encoding, written: Encoding) -> Encoding:
    """The same with what was written behind it: its second text."""
    extras = read.extras
    if read.decoder is None:
        # as when a model generates: what runs along goes on as it ends
        extras = {name: values + values[-1:] * len(written) for name, values in extras.items()}
    return replace(
        read,
        texts=read.texts + written.texts,
        ids=read.ids + written.ids,
        pieces=read.pieces + written.pieces,
        segments=[*read.segments, *(1 for _ in written.ids)],
        spans=read.spans + written.spans,
        extras=extras,
    )


def _runs_along(values: object, length: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == length
        and all(isinstance(v, int) for v in values)
    )


def pieces_of(tokenizer: Any, ids: list[int]) -> list[str]:
    """The tokens of the vocabulary with these ids; the id itself where there is none."""
    pieces = tokenizer.convert_ids_to_tokens(ids)
    return [str(i) if piece is None else str(piece) for i, piece in zip(ids, pieces, strict=True)]


def _place_slowly(
    tokenizer: Any, texts: tuple[str, ...], ids: list[int]
) -> tuple[list[int | None], list[Span | None]]:
    unknown = getattr(tokenizer, "unk_token", None)
    pieces = [tokenizer.tokenize(text) for text in texts]
    aligned = [align(t, p, unknown) for t, p in zip(texts, pieces, strict=True)]
    parts = [[int(i) for i in tokenizer.convert_tokens_to_ids(p)] for p in pieces]
    places = _by_template(tokenizer, parts, ids) or _by_search(parts, ids)
    if places is None:
        raise ModelError(
            f"{type(tokenizer).__name__} encodes {texts[0][:40]!r} to other ids than its pieces "
            "and special tokens: use its fast version, which gives offsets"
        )
    segments = [None if place is None else place[0] for place in places]
    spans = [None if place is None else aligned[place[0]][place[1]] for place in places]
    return segments, spans


def _by_template(tokenizer: Any, parts: list[list[int]], ids: list[int]) -> list[Place] | None:
    """Per id the text and the piece it stands for, None for special tokens.

    Numbers that no vocabulary holds show where the tokenizer puts what.
    """
    marks = [[-1 - i - s * len(parts[0]) for i in range(len(p))] for s, p in enumerate(parts)]
    owner = {m: (s, i) for s, row in enumerate(marks) for i, m in enumerate(row)}
    template = tokenizer.build_inputs_with_special_tokens(*marks)
    places = [owner.get(t) for t in template]
    filled = [
        int(t) if place is None else parts[place[0]][place[1]]
        for t, place in zip(template, places, strict=True)
    ]
    return places if filled == ids else None


def _by_search(parts: list[list[int]], ids: list[int]) -> list[Place] | None:
    """The same where special tokens depend on the text: ByT5 ends no text that ends itself."""
    places: list[Place] = [None] * len(ids)
    at = 0
    for segment, part in enumerate(parts):
        while ids[at : at + len(part)] != part:
            at += 1
            if at > len(ids):
                return None
        for i in range(len(part)):
            places[at + i] = (segment, i)
        at += len(part)
    return places
