"""Results go to stdout, everything else to stderr; nobody listening is no traceback."""

from __future__ import annotations

import errno
import os
import sys
from typing import TextIO

import typer

from ..errors import RenderError
from ..render.escape import one_line

# where stdout cannot show what our renderer draws (Windows code pages, Latin-1)
_ASCII = str.maketrans("━╸╺─·×…", "===-*x~")


class NoReaderError(Exception):
    """Whoever read our output has gone, as in ``lxt-like ... | head``."""


def emit(text: str) -> None:
    """Write text for people to stdout, as far as its encoding can show it.

    Escape sequences in it are kept: the renderer has decided about colours.
    """
    stream = sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    _write(stream, text)


def emit_json(text: str) -> None:
    """Write a JSON document to stdout: always UTF-8, whatever the terminal's encoding."""
    _write(sys.stdout, text.encode("utf-8"))


def say(text: str) -> None:
    """Write one line to stderr; control characters in it become visible."""
    _write(sys.stderr, one_line(" ".join(text.split())) + "\n")


def error_line(text: str) -> None:
    """Write ``error: ...`` to stderr."""
    say(f"error: {text}")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits at the other end; a missing or closed stream is none."""
    return stream is not None and not stream.closed and stream.isatty()


def _write(stream: TextIO | None, content: str | bytes) -> None:
    if stream is None:  # a windowed Python has no streams
        return
    try:
        typer.echo(content, file=stream, nl=False, color=True)
    except OSError as error:
        _divert(stream)
        if error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL):
            raise NoReaderError from error
        reason = error.strerror or type(error).__name__
        raise RenderError(f"cannot write to the standard output: {reason}") from error


def _divert(stream: TextIO) -> None:
    """What is still buffered goes nowhere: at exit Python would try, and complain, again."""
    try:
        descriptor = stream.fileno()
    except OSError:  # a stream of a test or a notebook has none
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
