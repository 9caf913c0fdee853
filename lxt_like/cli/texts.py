"""The texts to explain: arguments, the lines of a file, or what is piped in."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..explain.decoding import decode
from .streams import is_terminal, say

EXAMPLE = 'lxt-like explain "A gripping, funny film."'


@dataclass(frozen=True, slots=True)
class Line:
    """One text and where it came from, for messages (``reviews.txt, line 7``)."""

    text: str
    where: str


def gather(arguments: Sequence[str], file: str | None) -> list[Line]:
    """The texts of the command line, of ``file`` (``-``: stdin), or of what is piped in.

    Raises:
        InputError: there is no text, a file's name instead of one, there are two sources, or a
            file cannot be read.
    """
    if arguments and file is not None:
        first = shortened(arguments[0])
        raise InputError(f"expected texts or --file, got both: {first!r} and {file!r}")
    if arguments:
        return [Line(text_of(text), f"text {i}") for i, text in enumerate(arguments, 1)]
    if file is not None and file != "-":
        return _lines(_read(file), file)
    if is_terminal(sys.stdin):
        if file is None:
            raise InputError(f"no text to explain; try: {EXAMPLE} (or --file, or a pipe)")
        say("reading texts, one per line, to the end of input (Ctrl-D; on Windows Ctrl-Z, Enter)")
    return _lines(_read_stdin(), "stdin")


def asking(chat: bool, system: str | None) -> Callable[[str], object]:
    """What a text is given to the model as: itself, or the messages of a chat.

    Raises:
        InputError: there is a system message, but no chat.
    """
    if not chat:
        if system is not None:
            raise InputError("--system is the first message of a chat: add --chat")
        return str
    before = [] if system is None else [{"role": "system", "content": _decoded(system)}]
    return lambda text: [*before, {"role": "user", "content": text}]


def text_of(argument: str) -> str:
    """An argument that is a text, and not the name of a file.

    Raises:
        InputError: it is one, or it is not valid Unicode.
    """
    if names_file(argument):
        raise InputError(
            f"expected a text, got the name of a file, {shortened(argument)!r}: texts in a file "
            "are explained by lxt-like explain --file, an image by an image classifier"
        )
    return _decoded(argument)


def names_file(argument: str) -> bool:
    """Whether there is a file of this name, and it has a suffix: a lone word may be a text."""
    path = Path(os.path.expanduser(argument))  # a path's own raises for "~ ... "
    with suppress(OSError, ValueError):  # a text can be too long to be a path
        return len(path.suffix) > 1 and path.is_file()
    return False


def shortened(argument: str) -> str:
    """The beginning of an argument, for messages."""
    return argument if len(argument) <= 40 else argument[:39] + "…"


def _decoded(argument: str) -> str:
    """Bytes that are no text reach us as lone surrogates."""
    for at, char in enumerate(argument):
        if "\ud800" <= char <= "\udfff":
            raise InputError(
                f"a text on the command line is not valid Unicode at character {at}: "
                "check the terminal's encoding, or put the text into a UTF-8 file for --file"
            )
    return argument


def _read(file: str) -> bytes:
    try:
        return Path(os.path.expanduser(file)).read_bytes()
    except IsADirectoryError as error:
        raise InputError(f"expected a file of texts, got the folder {file!r}") from error
    except FileNotFoundError as error:
        raise InputError(f"no such file: {file!r}") from error
    except OSError as error:
        raise InputError(f"cannot read {file!r}: {error.strerror or error}") from error


def _read_stdin() -> bytes:
    stream = sys.stdin
    if stream is None or stream.closed:
        return b""
    try:
        return stream.buffer.read()
    except OSError as error:
        raise InputError(f"cannot read the standard input: {error.strerror or error}") from error


def _lines(data: bytes, name: str) -> list[Line]:
    """Every line that is not blank, numbered as an editor numbers it."""
    rows = decode(data, name).split("\n")
    lines = [
        Line(row.removesuffix("\r"), f"{name}, line {number}")
        for number, row in enumerate(rows, 1)
        if row.strip()
    ]
    if not lines:
        raise InputError(f"no text to explain in {name}; try: {EXAMPLE}")
    return lines
