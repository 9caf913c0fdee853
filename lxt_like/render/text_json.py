"""JSON of an explained text: the fields of TextData under their own names, every one checked."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..explanation import TextData, Token, Word
from .checked import Node, read_string
from .contradictions import refuse_text
from .json_parts import (
    decode_account,
    decode_target,
    encode_account,
    encode_target,
    number,
    string,
)
from .layout import check


def encode_text(data: TextData) -> dict[str, Any]:
    """An explained text as a JSON object; InputError where words do not fit their text."""
    check(data)
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


def decode_text(value: object, where: str) -> TextData:
    """What :func:`encode_text` made; InputError, with the place, for anything else."""
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
