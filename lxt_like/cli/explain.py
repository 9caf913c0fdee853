"""``lxt-like explain``: texts in, coloured words, files or JSON out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import (
    CompositeError,
    InputError,
    LxtError,
    PatchError,
    RuleError,
    TargetError,
    UnruledError,
)
from . import options
from .guard import MISTAKE, SOME_FAILED, describe, guarded
from .progress import Progress
from .streams import NoReaderError, emit, emit_json, error_line, say
from .texts import Line, gather

if TYPE_CHECKING:
    from ..explain import TextExplanation
    from ..explanation import TextData

Explain = Callable[[list[str]], "list[TextExplanation]"]
Outcome = tuple[Line, "TextExplanation | Exception"]

# what is wrong with these is wrong for every text
_NOT_THE_TEXT = (CompositeError, PatchError, RuleError, TargetError, UnruledError)


@guarded
def explain(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="One text or several.", show_default=False),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", metavar="FILE", help="Texts, one per line; - is stdin."),
    ] = None,
    model: options.Model = None,
    target: options.Target = None,
    foil: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Explain why the target rather than this class."),
    ] = None,
    pair: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The second sentence, for models that read two."),
    ] = None,
    composite: options.CompositeName = "attnlrp",
    out: Annotated[
        list[str] | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write .html .png .pdf .svg .tex or .json, by suffix; may be repeated.",
            show_default=False,
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            metavar="",
            rich_help_panel=options.OUTPUT,
            help="Print no words and no progress.",
        ),
    ] = False,
    window: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="TOKENS",
            rich_help_panel=options.LONG,
            help="Read a text that is too long in windows of this size.",
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="TOKENS",
            rich_help_panel=options.LONG,
            help="What neighbouring windows share. Default: a quarter.",
        ),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", rich_help_panel=options.LONG, help="The most texts at once."
        ),
    ] = 16,
    no_ledger: Annotated[
        bool,
        typer.Option(
            "--no-ledger",
            metavar="",
            rich_help_panel=options.CARE,
            help="Leave out the account of the whole score: faster.",
        ),
    ] = False,
    no_strict: Annotated[
        bool,
        typer.Option(
            "--no-strict",
            metavar="",
            rich_help_panel=options.CARE,
            help="Take the plain gradient where no rule is known, and say so.",
        ),
    ] = False,
    trust_remote_code: options.TrustRemoteCode = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Explain a classifier's prediction word by word.

    Texts come as arguments, from --file, or through a pipe; blank lines are left out.
    Explanations appear one by one. A text that fails is reported with its line, the others go
    on, and the exit code is 1. All texts go into one --out file. JSON is a single
    explanation for one TEXT, else a list.
    """
    lines = gather(texts or [], file)
    single = bool(texts) and len(lines) == 1
    _check_options(out or [], stride, window, quiet and not as_json)
    with Progress(wanted=not quiet) as progress:
        progress.status("starting ...")
        from ..explain import explain as run
        from ..explain.windows import limit_window, token_limit
        from .model import opened, target_of

        with opened(model, composite, progress, verbose, trust_remote_code) as loaded:
            limit_window(window, token_limit(loaded.model, loaded.tokenizer))
            chosen = target_of(loaded, target, foil)
            together = partial(
                run,
                loaded.model,
                tokenizer=loaded.tokenizer,
                target=chosen,
                composite=composite,
                window=window,
                stride=stride,
                batch_size=batch_size,
                ledger=not no_ledger,
                strict=not no_strict,
            )
            made = _Made(out or [], single, as_json, quiet)
            outcomes = _each(lines, partial(_explain, together, pair), batch_size)
            try:
                made.take(outcomes, len(lines), progress)
            finally:  # also if it was interrupted: what is computed is not lost
                made.finish()
    return made.code


def _check_options(
    outs: Sequence[str], stride: int | None, window: int | None, silent: bool
) -> None:
    """What can be refused before any work is."""
    from ..render.files import require_writable, suffix_of
    from ..render.save import SUFFIXES

    if stride is not None and window is None:
        raise InputError("--stride says what windows share: it needs --window")
    if silent and not outs:
        raise InputError("--quiet prints nothing: add --out FILE or --json")
    for path in outs:
        suffix_of(path, SUFFIXES)
        require_writable(path)


def _explain(run: Any, pair: str | None, texts: list[str]) -> list[TextExplanation]:
    made: list[TextExplanation] = run(
        text=texts, pair=None if pair is None else [pair] * len(texts)
    )
    return made


def _each(lines: Sequence[Line], run: Explain, size: int) -> Iterator[Outcome]:
    """Every text with its explanation, or with the error that it alone caused, in order.

    Raises what is no single text's fault: an error about rules or targets, or the same error
    for all texts of the first batch.
    """
    for start in range(0, len(lines), size):
        chunk = lines[start : start + size]
        try:
            results: list[TextExplanation | Exception] = [*run([line.text for line in chunk])]
        except Exception as error:
            if len(lines) == 1 or isinstance(error, _NOT_THE_TEXT):
                raise
            results = [_alone(line, run) for line in chunk]
            failures = [r for r in results if isinstance(r, Exception)]
            same = len({describe(f) for f in failures}) == 1 and len(failures) == len(chunk)
            if start == 0 and same and len(chunk) > 1 and not isinstance(error, InputError):
                raise
        yield from zip(chunk, results, strict=True)


def _alone(line: Line, run: Explain) -> TextExplanation | Exception:
    try:
        return run([line.text])[0]
    except Exception as error:  # it is reported with the text's place
        return error


class _Made:
    """What became of the texts: printed as they come, kept for the files, failures counted."""

    def __init__(self, outs: Sequence[str], single: bool, as_json: bool, quiet: bool) -> None:
        self.outs = outs
        self.single = single
        self.as_json = as_json
        self.quiet = quiet
        self.printing = not (as_json or quiet)
        self.kept: list[TextExplanation] = []
        self.total = self.failed = self.code = 0

    @property
    def data(self) -> TextData | list[TextData]:
        """As it goes into a file: the explanation of a single text, else a list."""
        return self.kept[0] if self.single else [*self.kept]

    def take(self, outcomes: Iterator[Outcome], total: int, progress: Progress) -> None:
        """Print and keep what comes until there is no more."""
        self.total = total
        progress.status("explaining ..." if total == 1 else "")
        progress.start(total)
        first = True
        for line, outcome in outcomes:
            progress.clear()
            if isinstance(outcome, Exception):
                self.failed += 1
                self.code = SOME_FAILED
                error_line(f"{line.where}: {describe(outcome)}")
            else:
                self.kept.append(outcome)
                self._print(outcome, first)
                first = False
            progress.advance()
        progress.close()
        if self.failed:
            say(f"{self.failed} of {total} texts could not be explained")

    def _print(self, made: TextExplanation, first: bool) -> None:
        from ..render.terminal import separator, to_terminal

        if not self.printing:
            return
        try:
            emit(("" if first else separator()) + to_terminal(made))
        except NoReaderError:
            if not self.outs:
                raise
            self.printing = False  # the files are still wanted

    def finish(self) -> None:
        """Write what there is into every file, and as JSON to stdout if that is wanted."""
        from ..render import save, to_json

        if not self.kept:
            return
        for path in self.outs:
            try:
                save(self.data, path)
            except LxtError as error:
                error_line(describe(error))
                self.code = MISTAKE
                continue
            if not self.quiet:
                some = len(self.kept) < self.total
                how_many = f" ({len(self.kept)} of {self.total} texts)" if some else ""
                say(f"wrote {path}{how_many}")
        if self.as_json:
            emit_json(to_json(self.data))
