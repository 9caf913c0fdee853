"""JSON with a versioned schema; what is written loads back equal, every field is checked.

Layout of the document (version 1)::

    {"schema": "lxt_like/text-explanation", "version": 1, "explanation": {...}}
    {"schema": "lxt_like/text-explanation", "version": 1, "explanations": [{...}, ...]}

with the fields of :class:`~lxt_like.explanation.TextData` under their own names.  Numbers
round-trip exactly.  A string is a string, save where a lone high surrogate is followed by a
lone low one: JSON readers would join the two, so such a string is a list of its parts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import InputError, NumericalError
from ..explanation import Account, TargetInfo, TextData, Token, Word
from .checked import Node, read_real, read_string, shown
from .escape import acts
from .layout import as_list, check

SCHEMA = "lxt_like/text-explanation"
VERSION = 1

_PAIR = re.compile("(?<=[\\ud800-\\udbff])(?=[\\udc00-\\udfff])")


# -- writing --------------------------------------------------------------------------------


def to_json(data: TextData | Sequence[TextData]) -> str:
    """One explanation, or a list of them, as a JSON document ending in a newline.

    Control characters, bidirectional overrides and surrogates are written as escapes, so the
    document can be shown and stored anywhere.  Raises NumericalError for NaN and infinity,
    which JSON has no numbers for, and InputError where words do not fit their text.
    """
    for item in as_list(data):
        check(item)
    document: dict[str, Any] = {"schema": SCHEMA, "version": VERSION}
    if isinstance(data, TextData):
        document["explanation"] = _encode(data)
    else:
        document["explanations"] = [_encode(item) for item in data]
    dumped = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)
    return "".join(_escaped(c) if c != "\n" and acts(c) else c for c in dumped) + "\n"


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]


def _encode(data: TextData) -> dict[str, Any]:
    account = data.account
    return {
        "texts": [_string(text) for text in data.texts],
        "target": {
            "label": _string(data.target.label),
            "index": data.target.index,
            "score": _number("the target's score", data.target.score),
            "probability": None
            if data.target.probability is None
            else _number("the target's probability", data.target.probability),
        },
        "words": [
            {
                "text": _string(word.text),
                "start": word.start,
                "end": word.end,
                "relevance": _number(f"the relevance of word {index}", word.relevance),
                "segment": word.segment,
            }
            for index, word in enumerate(data.words)
        ],
        "tokens": [
            {
                "text": _string(token.text),
                "id": token.id,
                "relevance": _number(f"the relevance of token {index}", token.relevance),
                "start": token.start,
                "end": token.end,
                "word": token.word,
                "segment": token.segment,
                "special": token.special,
            }
            for index, token in enumerate(data.tokens)
        ],
        "account": None if account is None else _encode_account(account),
        "model": _string(data.model),
        "composite": _string(data.composite),
        "notes": [_string(note) for note in data.notes],
    }


def _encode_account(account: Account) -> dict[str, Any]:
    return {
        "score": _number("the account's score", account.score),
        "inputs": _number("the account's inputs", account.inputs),
        # pairs, not an object: the order of the causes and odd names survive any reader
        "entries": [
            [_string(cause), _number(f"the account's entry {cause!a}", value)]
            for cause, value in account.entries.items()
        ],
        "unruled": _number("the account's unruled", account.unruled),
        "gap": _number("the account's gap", account.gap),
    }


def _string(text: str) -> str | list[str]:
    parts = _PAIR.split(text)
    return parts if len(parts) > 1 else text


def _number(what: str, value: float) -> float:
    if not math.isfinite(value):
        raise NumericalError(
            f"{what} is {value}; JSON has only finite numbers: look for NaN in the model's weights "
            "or an overflow"
        )
    return float(value)


# -- reading --------------------------------------------------------------------------------


def from_json(text: str) -> TextData | list[TextData]:
    """What :func:`to_json` wrote: one TextData, or a list where a list was written.

    Raises InputError, with the place in the document, for anything else: malformed JSON,
    another or a newer schema, a missing, unknown or mistyped field, words off their text.
    """
    if not isinstance(text, str):
        raise InputError(f"expected the JSON as a string, got {type(text).__name__}")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"this is not well-formed JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
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
    if "explanations" in document:
        root = Node(document, "document", ("schema", "version", "explanations"))
        return root.items("explanations", _decode, least=1)
    root = Node(document, "document", ("schema", "version", "explanation"))
    return _decode(root.value["explanation"], "explanation")


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
        target=_decode_target(node.value["target"], node.path("target")),
        words=tuple(node.items("words", _decode_word)),
        tokens=tuple(node.items("tokens", _decode_token)),
        account=None if account is None else _decode_account(account, node.path("account")),
        model=node.string("model"),
        composite=node.string("composite"),
        notes=tuple(node.items("notes", read_string)),
    )
    try:
        check(data)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return data


def _decode_target(value: object, where: str) -> TargetInfo:
    node = Node(value, where, ("label", "index", "score", "probability"))
    return TargetInfo(
        label=node.string("label"),
        index=node.optional("index", node.whole),
        score=node.real("score"),
        probability=node.optional("probability", node.real),
    )


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


def _decode_account(value: object, where: str) -> Account:
    node = Node(value, where, ("score", "inputs", "entries", "unruled", "gap"))
    entries = node.items("entries", _decode_entry)
    if len(dict(entries)) != len(entries):
        raise InputError(f"{node.path('entries')}: a cause is listed twice")
    return Account(
        score=node.real("score"),
        inputs=node.real("inputs"),
        entries=dict(entries),
        unruled=node.real("unruled"),
        gap=node.real("gap"),
    )


def _decode_entry(value: object, where: str) -> tuple[str, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{where}: expected [cause, number], got {shown(value)}")
    return read_string(value[0], where), read_real(value[1], where)
