"""JSON with a versioned schema; what is written loads back equal, every field is checked.

Layout of the document (version 1)::

    {"schema": "lxt_like/text-explanation", "version": 1, "explanation": {...}}
    {"schema": "lxt_like/text-explanation", "version": 1, "explanations": [{...}, ...]}

with the fields of :class:`~lxt_like.explanation.TextData` under their own names; generated texts
(:mod:`.generation_json`) and images (:mod:`.image_json`) have schemas of their own.  Numbers
round-trip exactly.  A string is a string, save where a lone high surrogate is followed by a
lone low one: JSON readers would join the two, so such a string is a list of its parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..errors import InputError
from ..explanation import Explained, GenerationData, ImageData, TextData
from .checked import Node
from .escape import acts
from .generation_json import decode_generation, encode_generation
from .image_json import decode_image, encode_image
from .layout import as_list
from .text_json import decode_text, encode_text

SCHEMA = "lxt_like/text-explanation"
GENERATIONS = "lxt_like/generation-explanation"
IMAGES = "lxt_like/image-explanation"
VERSION = 1

_DECODERS: dict[str, Callable[[object, str], Explained]] = {
    SCHEMA: decode_text,
    GENERATIONS: decode_generation,
    IMAGES: decode_image,
}


# -- writing --------------------------------------------------------------------------------


def to_json(data: Explained | Sequence[Explained]) -> str:
    """One explanation, or a list of them, as a JSON document ending in a newline.

    Control characters, bidirectional overrides and surrogates are written as escapes, so the
    document can be shown and stored anywhere.  Raises NumericalError for NaN and infinity,
    which JSON has no numbers for, and InputError where words do not fit their text.
    """
    items = as_list(data)
    schemas = [_schema_of(item) for item in items]
    if len(set(schemas)) > 1:
        raise InputError(
            "one JSON document holds explanations of one kind: of texts, of generated texts or of "
            "images"
        )
    document: dict[str, Any] = {"schema": schemas[0], "version": VERSION}
    encoded = [_encoded(item) for item in items]
    if isinstance(data, TextData | GenerationData | ImageData):
        document["explanation"] = encoded[0]
    else:
        document["explanations"] = encoded
    dumped = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
    return "".join(_escaped(c) if c != "\n" and acts(c) else c for c in dumped) + "\n"


def _schema_of(data: Explained) -> str:
    if isinstance(data, TextData):
        return SCHEMA
    return IMAGES if isinstance(data, ImageData) else GENERATIONS


def _encoded(data: Explained) -> dict[str, Any]:
    if isinstance(data, TextData):
        return encode_text(data)
    return encode_image(data) if isinstance(data, ImageData) else encode_generation(data)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]


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
    found = document.get("schema") if isinstance(document, dict) else type(document).__name__
    if not isinstance(document, dict) or not isinstance(found, str) or found not in _DECODERS:
        raise InputError(f'expected a document with "schema": "{SCHEMA}", got {found!a:.80}')
    version = document.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InputError(f'expected a whole number as "version", got {version!a:.80}')
    if version > VERSION:
        raise InputError(
            f"this document has version {version} of the schema, this lxt_like reads up to "
            f"{VERSION}: update lxt_like"
        )
    decode = _DECODERS[found]
    if "explanations" in document:
        root = Node(document, "document", ("schema", "version", "explanations"))
        return root.items("explanations", decode, least=1)
    root = Node(document, "document", ("schema", "version", "explanation"))
    return decode(root.value["explanation"], "explanation")


def _refuse_constant(name: str) -> NoReturn:
    raise InputError(f"expected finite numbers only, got {name}")
