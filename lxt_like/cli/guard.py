"""Every way a command can end: its exit code and at most one clear line on stderr.

0: done.  1: some texts failed, an account does not close, or an unexpected error.  2: the user
can mend it (bad option, file, model, target).  130: interrupted.  141: nobody reads the output.
"""

from __future__ import annotations

import functools
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import typer

from ..errors import LxtError, TruncationWarning, UnruledWarning
from .streams import NoReaderError, error_line, say

SOME_FAILED, MISTAKE, INTERRUPTED, CLOSED = 1, 2, 130, 141
_LONGEST = 600

P = ParamSpec("P")


def guarded(command: Callable[P, int]) -> Callable[P, None]:
    """Run ``command``, which returns an exit code, and turn whatever it raises into one.

    Of the command's options ``debug`` (tracebacks) and ``verbose`` (warnings of the libraries
    below) are meant for this wrapper.
    """

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> None:
        try:
            raise typer.Exit(_outcome(command, bool(options["debug"]), *args, **options))
        except NoReaderError:
            raise typer.Exit(CLOSED) from None

    return run


def _outcome(
    command: Callable[P, int], show_traceback: bool, *args: P.args, **options: P.kwargs
) -> int:
    try:
        with _warnings(as_they_come=bool(options["verbose"])):
            return command(*args, **options)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except NoReaderError:
        raise
    except Exception as error:
        if show_traceback:
            traceback.print_exc()
        error_line(describe(error))
        return MISTAKE if isinstance(error, LxtError) else SOME_FAILED


def describe(error: Exception) -> str:
    """An exception in one line; unexpected ones with their type and what to do."""
    text = " ".join(str(error).split())
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + " ..."
    if isinstance(error, LxtError):
        return text
    name = type(error).__name__
    return f"unexpected {name}{': ' * bool(text)}{text} (run with --debug for the traceback)"


@contextmanager
def _warnings(as_they_come: bool) -> Iterator[None]:
    """Our own warnings as one line each, once; those of other libraries not at all."""
    with warnings.catch_warnings():
        if not as_they_come:
            warnings.simplefilter("ignore")
            for ours in (TruncationWarning, UnruledWarning):
                warnings.simplefilter("always", ours)
            warnings.showwarning = _Once()
        yield


class _Once:
    """``warnings.showwarning`` that repeats nothing."""

    def __init__(self) -> None:
        self.said: set[str] = set()

    def __call__(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        text = str(message)
        if issubclass(category, TruncationWarning):
            text = (
                "a text is longer than the model takes and is not read to its end; "
                "--window TOKENS reads all of it"
            )
        if text not in self.said:
            self.said.add(text)
            say(f"warning: {text}")


@contextmanager
def quiet_libraries(verbose: bool, downloads: bool) -> Iterator[None]:
    """transformers and its hub without their notices and loading bars, as before afterwards.

    With ``downloads`` the bars of large downloads stay.
    """
    if verbose:
        yield
        return
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    loggings = (logging, hub_logging)
    levels = [one.get_verbosity() for one in loggings]
    bars, hub_bars = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    for one in loggings:
        one.set_verbosity_error()
    logging.disable_progress_bar()  # those of the hub, too
    if downloads and hub_bars:
        enable_progress_bars()
    try:
        yield
    finally:
        for one, level in zip(loggings, levels, strict=True):
            one.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
