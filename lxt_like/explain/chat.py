"""Conversations: what a tokenizer's chat template makes of messages.

The model reads one text, the messages with what the template writes around them.  Only the
messages' own text counts as words; the template's tokens are special ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from torch import Tensor

from ..classes import plain
from ..errors import InputError, one_line
from .encode import Encoding, encode
from .messages import MARK, ChangedError, Chat, Places, own_part, places

_KEYS = frozenset({"role", "content"})
_NO_LIST = (str, bytes, Mapping, list, tuple, Tensor)


def with_chats(given: object) -> object:
    """``given`` with a :class:`Chat` for each conversation in it: for itself, or for its items.

    A conversation is a list of ``{"role": ..., "content": ...}``, or ``{"messages": [...]}``.
    A column of a data set or of a data frame is read as the list that it is.

    Raises:
        InputError: a message is more than a role and its text.
    """
    given = plain(given)
    if isinstance(given, Iterable) and not isinstance(given, _NO_LIST) and not _is_table(given):
        given = list(given)
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
    chat = _asked(chat)
    try:
        text = _written(tokenizer, chat)
        found = places(chat, text, partial(_written, tokenizer))
    except ChangedError:  # a template may write the time, and that go on in between
        text = _written(tokenizer, chat)
        found = places(chat, text, partial(_written, tokenizer))
    made = encode(tokenizer, text, special=False)
    own = [own_part(text, span, found.bounds) for span in made.spans]
    return dataclasses.replace(
        made,
        segments=[None if span is None else 0 for span in own],
        spans=own,
        templated=True,
        bounds=found.bounds,
        spaced=None if chat.goes_on else _leads_with_space(tokenizer, chat, text),
        notes=_notes(chat, found),
    )


def _asked(chat: Chat) -> Chat:
    """An answer of which nothing is written yet is none."""
    if chat.goes_on and len(chat.messages) > 1 and not chat.messages[-1][1].strip():
        return Chat(chat.messages[:-1])
    return chat


def _notes(chat: Chat, found: Places) -> tuple[str, ...]:
    roles = ", ".join(role for role, _ in chat.messages)
    count = len(chat.messages)
    notes = [
        f"A chat of {count} message{'' if count == 1 else 's'} ({roles}), in the template of "
        "the tokenizer; what that adds counts among the special tokens."
    ]
    if found.parts:
        which = ", ".join(map(str, found.parts))
        notes.append(f"The template leaves out a part of message {which} (counted from 0).")
    return tuple(notes)


def _leads_with_space(tokenizer: Any, chat: Chat, text: str) -> bool:
    """Whether the template puts a space between what begins an answer and the answer."""
    mark = MARK.format("")
    with suppress(InputError):  # it may allow no answer here
        before, _, _ = _written(tokenizer, Chat((*chat.messages, ("assistant", mark)))).partition(
            mark
        )
        return before.startswith(text + " ")
    return False


def _is_chat(given: object) -> bool:
    if isinstance(given, Mapping):
        return "messages" in given and _is_chat(given["messages"])
    given = plain(given)
    return (
        isinstance(given, list | tuple)
        and bool(given)
        and all(isinstance(message, Mapping) and "role" in message for message in given)
    )


def _is_table(given: object) -> bool:
    return hasattr(given, "column_names") or hasattr(given, "columns")


def _chat(given: Any) -> Chat:
    if isinstance(given, Mapping) and (others := [str(k) for k in given if k != "messages"]):
        raise InputError(
            f"expected a row of messages alone, got also {', '.join(others)}: give row['messages']"
        )
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
    try:
        return str(
            tokenizer.apply_chat_template(
                [{"role": role, "content": content} for role, content in chat.messages],
                tokenize=False,
                add_generation_prompt=not chat.goes_on,
                continue_final_message=chat.goes_on,
            )
        )
    except Exception as error:  # a template is a program of the model's author
        raise InputError(
            f"the tokenizer's chat template does not take these messages: {one_line(error)}"
        ) from error
