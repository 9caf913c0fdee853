"""JSON with a versioned schema; what is written loads back equal, every field is checked.

Layout of the document (version 1)::

    {"schema": "lxt_like/text-explanation", "version": 1, "explanation": {...}}
    {"schema": "lxt_like/text-explanation", "version": 1, "explanations": [{...}, ...]}

with the fields of :class:`~lxt_like.explanation.TextData` under their own names; images have
their own schema (:mod:`.image_json`).  Numbers
round-trip exactly.  A string is a string, save where a lone high surrogate is followed by a
lone low one: JSON readers would join the two, so such a string is a list of its parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..errors import InputError
from ..explanation import Explained, ImageData, TextData, Token, Word
from .checked import Node, read_string
from .contradictions import refuse_text
from .escape import acts
from .image_json import decode_image, encode_image
from .json_parts import (
    decode_account,
    decode_target,
    encode_account,
    encode_target,
    number,
    string,
)
from .layout import as_list, check

SCHEMA = "lxt_like/text-explanation"
IMAGES = "lxt_like/image-explanation"
VERSION = 1


# -- writing --------------------------------------------------------------------------------


def to_json(data: Explained | Sequence[Explained]) -> str:
    """One explanation, or a list of them, as a JSON document ending in a newline.

    Control characters, bidirectional overrides and surrogates are written as escapes, so the
    document can be shown and stored anywhere.  Raises NumericalError for NaN and infinity,
    which JSON has no numbers for, and InputError where words do not fit their text.
    """
    items = as_list(data)
    images = isinstance(items[0], ImageData)
    if any(isinstance(item, ImageData) != images for item in items):
        raise InputError("one JSON document holds explanations of texts or of images, not of both")
    document: dict[str, Any] = {"schema": IMAGES if images else SCHEMA, "version": VERSION}
    encoded = [_encode_any(item) for item in items]
    if isinstance(data, TextData | ImageData):
        document["explanation"] = encoded[0]
    else:
        document["explanations"] = encoded
    dumped = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
    return "".join(_escaped(c) if c != "\n" and acts(c) else c for c in dumped) + "\n"


def _encode_any(data: Explained) -> dict[str, Any]:
    if isinstance(data, ImageData):
        return encode_image(data)
    check(data)
    return _encode(data)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]


def _encode(data: TextData) -> dict[str, Any]:
    account = data.account
    return {
        "texts": [string(text) for text in data.texts],
        "target": encode_target(data.target),
        "words": [
            {
                "text": string(word.text),
                "start": word.start,
                "end": word.end,
                "relevance": number(f"the relevance of word {index}", word.relevance),
                "segment": word.segment,
            }
            for index, word in enumerate(data.words)
        ],
        "tokens": [
            {
                "text": string(token.text),
                "id": token.id,
                "relevance": number(f"the relevance of token {index}", token.relevance),
                "start": token.start,
                "end": token.end,
                "word": token.word,
                "segment": token.segment,
                "special": token.special,
            }
            for index, token in enumerate(data.tokens)
        ],
        "account": None if account is None else encode_account(account),
        "model": string(data.model),
        "composite": string(data.composite),
        "notes": [string(note) for note in data.notes],
    }


# -- reading --------------------------------------------------------------------------------


def from_json(text: str) -> Explained | list[Explained]:
    """What :func:`to_json` wrote: one explanation, or a list where a list was written.

    Raises InputError, with the place in the document, for anything else: malformed JSON,
    another or a newer schema, a missing, unknown or mistyped field, words off their text, sums that
    contradict each other.
    """
    if not isinstance(text, str):
        raise InputError(f"expected the JSON as a string, got {type(text).__name__}")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"this is not well-formed JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") not in (SCHEMA, IMAGES):
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise InputError(f'expected a document with "schema": "{SCHEMA}", got {found!a:.80}')
    version = document.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InputError(f'expected a whole number as "version", got {version!a:.80}')
    if version > VERSION:
        raise InputError(
            f"this document has version {version} of the schema, this lxt_like reads up to "
            f"{VERSION}: update lxt_like"
        )
    decode: Callable[[object, str], Explained]
    decode = decode_image if document["schema"] == IMAGES else _decode
    if "explanations" in document:
        root = Node(document, "document", ("schema", "version", "explanations"))
        return root.items("explanations", decode, least=1)
    root = Node(document, "document", ("schema", "version", "explanation"))
    return decode(root.value["explanation"], "explanation")


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"expected finite numbers only, got {name}")


def _decode(value: object, where: str) -> TextData:
    node = Node(
        value,
        where,
        ("texts", "target", "words", "tokens", "account", "model", "composite", "notes"),
    )
    account = node.value["account"]
    data = TextData(
        texts=tuple(node.items("texts", read_string, least=1)),
        target=decode_target(node.value["target"], node.path("target")),
        words=tuple(node.items("words", _decode_word)),
        tokens=tuple(node.items("tokens", _decode_token)),
        account=None if account is None else decode_account(account, node.path("account")),
        model=node.string("model"),
        composite=node.string("composite"),
        notes=tuple(node.items("notes", read_string)),
    )
    try:
        check(data)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    refuse_text(data, where)
    return data


def _decode_word(value: object, where: str) -> Word:
    node = Node(value, where, ("text", "start", "end", "relevance", "segment"))
    return Word(
        text=node.string("text"),
        start=node.whole("start", least=0),
        end=node.whole("end", least=0),
        relevance=node.real("relevance"),
        segment=node.whole("segment", least=0),
    )


def _decode_token(value: object, where: str) -> Token:
    fields = ("text", "id", "relevance", "start", "end", "word", "segment", "special")
    node = Node(value, where, fields)
    return Token(
        text=node.string("text"),
        id=node.whole("id"),
        relevance=node.real("relevance"),
        start=node.optional("start", node.whole),
        end=node.optional("end", node.whole),
        word=node.optional("word", node.whole),
        segment=node.whole("segment", least=0),
        special=node.flag("special"),
    )
