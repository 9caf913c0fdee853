"""Where the messages of a chat stand in the text that a chat template wrote.

A template is a program, so its text is compared with what it writes of marks in place of the
messages: what stands around the marks is its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import InputError
from .segment import Span

MARK = "\ue000{}\ue001"
"""What is written in place of a message, of characters that no text has."""


@dataclass(frozen=True, slots=True)
class Chat:
    """The messages of a conversation: (role, content) each."""

    messages: tuple[tuple[str, str], ...]

    @property
    def goes_on(self) -> bool:
        """Whether the last message is the beginning of the answer."""
        return self.messages[-1][0] == "assistant"


@dataclass(frozen=True, slots=True)
class Places:
    """``bounds``: where messages are, in reading order; ``parts``: those written in part only."""

    bounds: tuple[Span, ...]
    parts: tuple[int, ...]


class ChangedError(InputError):
    """A template does not write a message, or not as it is."""

    def __init__(self, message: int, left_out: bool = False) -> None:
        said = (
            f"leaves out message {message}: leave it out as well, or"
            if left_out
            else f"does not write message {message} as it is, so that its words cannot be told "
            "from the template's:"
        )
        super().__init__(
            f"the tokenizer's chat template {said} give the whole prompt as one text, as "
            "apply_chat_template(..., tokenize=False) writes it"
        )


def places(chat: Chat, text: str, write: Callable[[Chat], str]) -> Places:
    """Where each message stands in ``text``, which ``write`` made of the chat.

    A template may put the messages in another order, trim white space, and leave out the
    beginning or the end of a message.  One of white space alone has no place.

    Raises:
        ChangedError: it writes something else around the marks than around the messages.
    """
    said = {i: content for i, (_, content) in enumerate(chat.messages) if content.strip()}
    marked = [
        (role, MARK.format(i) if i in said else content)
        for i, (role, content) in enumerate(chat.messages)
    ]
    shape = write(Chat(tuple(marked)))
    for i in said:
        if (count := shape.count(MARK.format(i))) != 1:
            raise ChangedError(i, left_out=not count)
    # what the template writes, and between it the numbers of the messages
    before, *rest = re.split(MARK.format(r"(\d+)"), shape)
    order, frame = [int(i) for i in rest[::2]], rest[1::2]
    if not text.startswith(before) or (not order and text != before):
        raise ChangedError(0)
    at = len(before)
    bounds, parts = [], []
    for k, (i, behind) in enumerate(zip(order, frame, strict=True)):
        place = _Place(text, at, behind, k == len(order) - 1)
        end = place.whole(said[i])
        if end is None:
            end = place.part(said[i])
            parts.append(i)
        if end is None:
            raise ChangedError(i)
        if at < end:
            bounds.append((at, end))
        at = end + len(behind)
    return Places(tuple(bounds), tuple(parts))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a message begins in a text, and what stands behind it: all the rest, if ``last``."""

    text: str
    at: int
    behind: str
    last: bool

    def ends(self, end: int) -> bool:
        if self.last:
            return end == len(self.text) - len(self.behind) and self.text.endswith(self.behind)
        return self.text.startswith(self.behind, end)

    def whole(self, content: str) -> int | None:
        """Where the message ends if all of it is there, but perhaps for white space around it."""
        core = content.strip()
        left, right = content[: content.index(core)], content[len(content.rstrip()) :]
        start = self.at
        while start < len(self.text) and self.text[start].isspace():
            start += 1
        if not left.endswith(self.text[self.at : start]) or not self.text.startswith(core, start):
            return None
        start += len(core)
        longest = next(
            (n for n, c in enumerate(right) if not self.text.startswith(c, start + n)), len(right)
        )
        return next((start + n for n in range(longest, -1, -1) if self.ends(start + n)), None)

    def part(self, content: str) -> int | None:
        """Where it ends if what is there is a part of it."""
        if self.last:
            ends = [len(self.text) - len(self.behind)]
        elif self.behind:
            ends = [m.start() for m in re.finditer(re.escape(self.behind), self.text[self.at :])]
            ends = [self.at + end for end in ends]
        else:
            return None
        for end in ends:
            if end >= self.at and self.ends(end):
                return end if self.text[self.at : end].strip() in content else None
        return None


def own_part(text: str, span: Span | None, bounds: Sequence[Span]) -> Span | None:
    """What a token stands for of the messages; of white space only what does not reach out."""
    if span is None:
        return None
    start, end = span
    if text[start:end].isspace() or start == end:
        inside = any(first <= start and end <= last for first, last in bounds)
        return span if inside else None
    parts = [(max(start, first), min(end, last)) for first, last in bounds]
    parts = [(first, last) for first, last in parts if text[first:last].strip()]
    return (parts[0][0], parts[-1][1]) if parts else None
