"""``lxt-like explain``: texts in, coloured words, files or JSON out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from . import options
from .guard import guarded
from .outcomes import Report, each
from .progress import Progress
from .texts import gather

if TYPE_CHECKING:
    from ..explain import TextExplanation


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
        typer.Option(
            metavar="TEXT",
            help="The second text (a context, another sentence), for models that read two.",
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What an encoder-decoder has written so far."),
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
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            rich_help_panel=options.LONG,
            help="The most texts at once. Default: 16, with the account 1, which is faster then.",
        ),
    ] = None,
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
    """Explain a prediction word by word.

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

        size = batch_size or (16 if no_ledger else 1)
        with opened(model, composite, progress, verbose, trust_remote_code) as loaded:
            limit_window(window, token_limit(loaded.model, loaded.tokenizer))
            chosen = target_of(loaded, target, foil)
            together = partial(
                run,
                loaded.model,
                tokenizer=loaded.tokenizer,
                target=chosen,
                prefix=prefix,
                composite=composite,
                window=window,
                stride=stride,
                batch_size=size,
                ledger=not no_ledger,
                strict=not no_strict,
            )
            report = Report(out or [], single, as_json, quiet)
            outcomes = each(lines, partial(_explain, together, pair), size, debug)
            try:
                report.take(outcomes, len(lines), progress)
            finally:  # also if it was interrupted: what is computed is not lost
                report.finish()
    return report.code


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
