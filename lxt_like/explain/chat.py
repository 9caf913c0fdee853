"""Conversations: what a tokenizer's chat template makes of messages, and where these stand in it.

The model reads one text, the messages with what the template writes around them.  Only the
messages' own text counts as words; the template's tokens are special ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .encode import Encoding, encode
from .segment import Span

_KEYS = frozenset({"role", "content"})


@dataclass(frozen=True, slots=True)
class Chat:
    """The messages of a conversation: (role, content) each."""

    messages: tuple[tuple[str, str], ...]


def with_chats(given: object) -> object:
    """``given`` with a :class:`Chat` for each conversation in it: for itself, or for its items.

    A conversation is a list of ``{"role": ..., "content": ...}``, or ``{"messages": [...]}``.

    Raises:
        InputError: a message is more than a role and its text.
    """
    if _is_chat(given):
        return _chat(given)
    if isinstance(given, list | tuple) and any(_is_chat(item) for item in given):
        return [_chat(item) if _is_chat(item) else item for item in given]
    return given


def encode_chat(tokenizer: Any, chat: Chat) -> Encoding:
    """The tokens of a conversation as the tokenizer's template writes it.

    Behind the last message stands what begins an answer; if the last message is the
    assistant's, it is the beginning of the answer itself and nothing follows it.

    Raises:
        InputError: the tokenizer has no chat template, or its template does not take these
            messages, or changes them, so that their words cannot be told from its own.
    """
    text = _written(tokenizer, chat)
    bounds = _bounds(tokenizer, chat, text)
    made = encode(tokenizer, text, special=False)
    own = [_of_message(text, span, bounds) for span in made.spans]
    roles = ", ".join(role for role, _ in chat.messages)
    count = len(chat.messages)
    return dataclasses.replace(
        made,
        segments=[0 if mine else None for mine in own],
        spans=[span if mine else None for span, mine in zip(made.spans, own, strict=True)],
        templated=True,
        notes=(
            f"A chat of {count} message{'' if count == 1 else 's'} ({roles}), in the template of "
            "the tokenizer; what that adds counts among the special tokens.",
        ),
    )


def _is_chat(given: object) -> bool:
    if isinstance(given, Mapping):
        return set(given) == {"messages"} and _is_chat(given["messages"])
    return (
        isinstance(given, list | tuple)
        and bool(given)
        and all(isinstance(message, Mapping) and "role" in message for message in given)
    )


def _chat(given: Any) -> Chat:
    messages: Iterable[Mapping[str, Any]] = (
        given["messages"] if isinstance(given, Mapping) else given
    )
    found = []
    for i, message in enumerate(messages):
        role, content = message["role"], message.get("content")
        more = sorted(str(k) for k in set(message) - _KEYS if message[k] is not None)
        if more or not isinstance(role, str) or not isinstance(content, str):
            raise InputError(
                f"expected message {i} to be a role and a text, got "
                + (f"also {', '.join(more)}" if more else f"{str(message)[:60]}")
                + ": give the whole prompt as one text, as apply_chat_template(..., "
                "tokenize=False) writes it"
            )
        found.append((role, content))
    return Chat(tuple(found))


def _written(tokenizer: Any, chat: Chat) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(
            f"expected a text, got a chat, and {type(tokenizer).__name__} has no chat template: "
            "give a text, or set tokenizer.chat_template"
        )
    goes_on = chat.messages[-1][0] == "assistant"
    try:
        return str(
            tokenizer.apply_chat_template(
                [{"role": role, "content": content} for role, content in chat.messages],
                tokenize=False,
                add_generation_prompt=not goes_on,
                continue_final_message=goes_on,
            )
        )
    except Exception as error:  # a template is a program of the model's author
        raise InputError(
            f"the tokenizer's chat template does not take these messages: {error}"
        ) from error


def _bounds(tokenizer: Any, chat: Chat, text: str) -> list[Span]:
    """Where each message stands in ``text``: seen from marks that the template writes instead.

    Raises:
        InputError: the template writes something else around the marks than around the messages.
    """
    marks = [f"\ue000{i}\ue001" for i in range(len(chat.messages))]
    marked = tuple((role, m) for (role, _), m in zip(chat.messages, marks, strict=True))
    shape = _written(tokenizer, Chat(marked))
    frame: list[str] = []
    for mark in marks:
        before, found, shape = shape.partition(mark)
        if not found or mark in shape:
            raise _changed(mark, marks)
        frame.append(before)
    frame.append(shape)
    bounds: list[Span] = []
    at = 0
    for i, (_, content) in enumerate(chat.messages):
        at += len(frame[i])
        behind = frame[i + 1]
        forms = (content, content.rstrip(), content.lstrip(), content.strip())  # as templates trim
        end = next((at + len(f) for f in forms if text.startswith(f + behind, at)), None)
        if end is None or not text.startswith(frame[i], at - len(frame[i])):
            raise _changed(marks[i], marks)
        bounds.append((at, end))
        at = end
    if at + len(frame[-1]) != len(text):
        raise _changed(marks[-1], marks)
    return bounds


def _changed(mark: str, marks: list[str]) -> InputError:
    return InputError(
        f"the tokenizer's chat template does not write message {marks.index(mark)} as it is, so "
        "that its words cannot be told from the template's: give the whole prompt as one text, "
        "as apply_chat_template(..., tokenize=False) writes it"
    )


def _of_message(text: str, span: Span | None, bounds: list[Span]) -> bool:
    """Whether a token stands for a part of a message; for white space, if it does not reach out."""
    if span is None:
        return False
    start, end = span
    if text[start:end].isspace() or start == end:
        return any(first <= start and end <= last for first, last in bounds)
    return any(text[max(start, first) : min(end, last)].strip() for first, last in bounds)
