"""JSON of a generated text: its total and its steps, each as an explained text has it.

``{"total": {...}, "steps": [{...}, ...], "tokens": ["...", ...]}``; what is read must fit together:
every step reads the prompt and the output's tokens before it, and the total is the sum of them.
"""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..explanation import GenerationData, TextData, written_tokens
from .checked import Node, read_string
from .contradictions import refuse_generation
from .json_parts import string
from .text_json import decode_text, encode_text


def encode_generation(data: GenerationData) -> dict[str, Any]:
    """A generated text as a JSON object."""
    check_generation(data)
    return {
        "total": encode_text(data.total),
        "steps": [encode_text(step) for step in data.steps],
        "tokens": [string(token) for token in data.tokens],
    }


def decode_generation(value: object, where: str) -> GenerationData:
    """What :func:`encode_generation` made; InputError, with the place, for anything else."""
    node = Node(value, where, ("total", "steps", "tokens"))
    data = GenerationData(
        decode_text(node.value["total"], node.path("total")),
        tuple(node.items("steps", decode_text, least=1)),
        tuple(node.items("tokens", read_string, least=1)),
    )
    try:
        check_generation(data)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    refuse_generation(data, where)
    return data


def check_generation(data: GenerationData) -> None:
    """Raise InputError unless the steps are those of the total's output, token by token."""
    if len(data.total.texts) != 2:
        raise InputError(f"expected a prompt and an output, got {len(data.total.texts)} texts")
    count = len(data.written)
    if not count == len(data.steps) == len(data.tokens):
        raise InputError(
            f"expected a step and a text for each of the {count} tokens of the output, got "
            f"{len(data.steps)} steps and {len(data.tokens)} texts"
        )
    ids = [token.id for token in data.written]
    words = _prompt(data.total)
    for index, step in enumerate(data.steps):
        if step.texts[0] != data.prompt or _prompt(step) != words:
            raise InputError(f"step {index} has another prompt than the whole")
        if [token.id for token in written_tokens(step)] != ids[:index]:
            raise InputError(f"step {index} must read the {index} tokens that were written before")


def _prompt(data: TextData) -> list[tuple[str, int, int]]:
    return [(word.text, word.start, word.end) for word in data.words if word.segment == 0]
