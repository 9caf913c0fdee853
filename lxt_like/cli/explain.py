"""``lxt-like explain``: texts or images in, coloured words, pictures, files or JSON out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from . import options
from .generations import explain_outputs, wants_output
from .guard import guarded
from .images import TEXTS_ONLY, VIEWS, explain_images, image_files, wants_images
from .outcomes import Report
from .progress import Progress
from .texts import asking, gather

if TYPE_CHECKING:
    from ..explain import TextExplanation


@guarded
def explain(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|IMAGE",
            help="Texts, or image files and folders of images.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", metavar="FILE", help="Texts, one per line; - is stdin."),
    ] = None,
    model: options.Model = None,
    target: options.Target = None,
    foil: options.Foil = None,
    pair: options.Pair = None,
    prefix: options.Prefix = None,
    generate: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Let a language model write up to N tokens behind each TEXT, and explain each.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="The same of this output, as it stands behind the prompt (begin it with a space).",
        ),
    ] = None,
    chat: options.Chat = None,
    system: options.System = None,
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
    view: Annotated[
        str | None,
        typer.Option(
            metavar="VIEW",
            rich_help_panel=options.OUTPUT,
            help=f"The picture of an image: {VIEWS}. Default: side, pair with --foil.",
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
            help="The most texts at once. Default: 8, without the account 16.",
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
    """Explain a prediction: of a text word by word, of an image patch by patch.

    Texts come as arguments, from --file, or through a pipe; blank lines are left out.
    Explanations appear one by one. A text that fails is reported with its line, the others go
    on, and the exit code is 1. All texts go into one --out file. JSON is a single
    explanation for one TEXT, else a list.

    With --generate or --output each token that a language model writes is explained; --chat
    is for models that are made to converse.

    Image files and folders of them are explained by the bundled vision transformer, or by any
    image classifier that --model names; images that cannot be read are reported and left out.
    """
    given = texts or []
    ask = asking(bool(chat), system)
    care = options.Care(batch_size, not no_ledger, not no_strict, trust_remote_code, verbose, debug)
    if wants_output(generate, output):
        unsuited = {
            "target": target,
            "foil": foil,
            "pair": pair,
            "prefix": prefix,
            "window": window,
            "stride": stride,
            "view": view,
        }
        options.refuse(unsuited, "not for whole outputs (--generate, --output)")
        lines = gather(given, file)
        _check_outs(out or [], quiet and not as_json)
        report = Report(out or [], bool(given) and len(lines) == 1, as_json, quiet)
        with Progress(wanted=not quiet) as progress:
            return explain_outputs(
                lines, model, generate, output, ask, composite, report, progress, care
            )
    if wants_images(given, model, trust_remote_code):
        unsuited = {
            "file": file,
            "pair": pair,
            "prefix": prefix,
            "window": window,
            "stride": stride,
            "chat": chat,
            "system": system,
        }
        options.refuse(unsuited, TEXTS_ONLY)
        chosen_view = view or ("side" if foil is None else "pair")
        named = image_files(given)
        single = len(given) == len(named) == 1
        _check_images(out or [], chosen_view, foil, quiet and not as_json)
        report = Report(out or [], single, as_json, quiet, "images", chosen_view)
        with Progress(wanted=not quiet, unit="image") as progress:
            return explain_images(
                named,
                model,
                target,
                foil,
                composite,
                chosen_view,
                report,
                progress,
                care,
            )
    if view is not None:
        raise InputError("--view: for images only, and this explains texts")
    lines = gather(given, file)
    single = bool(given) and len(lines) == 1
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
                prefix=prefix,
                composite=composite,
                window=window,
                stride=stride,
                batch_size=care.size,
                ledger=care.ledger,
                strict=care.strict,
            )
            report = Report(out or [], single, as_json, quiet)
            explained = partial(_explain, together, ask, pair)
            return report.run(lines, explained, care.size, progress, debug)


def _check_options(
    outs: Sequence[str], stride: int | None, window: int | None, silent: bool
) -> None:
    """What can be refused before any work is."""
    if stride is not None and window is None:
        raise InputError("--stride says what windows share: it needs --window")
    _check_outs(outs, silent, texts=True)


def _check_images(outs: Sequence[str], view: str, foil: str | None, silent: bool) -> None:
    from ..render.views import require_view

    require_view(view)
    if view == "pair" and foil is None:
        raise InputError("--view pair shows a contrast: name the other class with --foil")
    _check_outs(outs, silent)


def _check_outs(outs: Sequence[str], silent: bool, texts: bool = False) -> None:
    """Files that cannot be written, and nothing to write or print at all."""
    from ..render.files import require_writable, suffix_of
    from ..render.save import PICTURE_SUFFIXES, SUFFIXES

    if silent and not outs:
        raise InputError("--quiet prints nothing: add --out FILE or --json")
    for path in outs:
        suffix_of(path, SUFFIXES if texts else PICTURE_SUFFIXES)
        require_writable(path)


def _explain(
    run: Any, ask: Callable[[str], Any], pair: str | None, texts: list[str]
) -> list[TextExplanation]:
    made: list[TextExplanation] = run(
        text=[ask(text) for text in texts], pair=None if pair is None else [pair] * len(texts)
    )
    return made
