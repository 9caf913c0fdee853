"""``lxt-like evaluate``: methods compared over a data set, with a report."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from . import options
from .classes import class_of
from .guard import guarded, quiet_libraries
from .progress import Progress
from .streams import emit, say

QUICK_STEPS = 16
"""Points of a curve without --thorough or --steps: what a first look needs."""

DATA = "Data"


@guarded
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A folder or hub id, or sentiment or vit: those that ship."
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A folder of images (sub-folders are classes), a .txt, .tsv, .csv or .jsonl file "
            "of texts, a saved data set or a hub id.",
        ),
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="Where the report goes.")
    ] = "report",
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods",
            metavar="NAMES",
            help="Methods or composites, separated by commas. Default: the cheap ones.",
            show_default=False,
        ),
    ] = None,
    operators: Annotated[
        list[str] | None,
        typer.Option(
            "--operators",
            metavar="NAMES",
            help="How units are removed, separated by commas. Default: two that suit the model.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", "-n", min=1, metavar="N", help="At most so many, at random."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="CLASS",
            help="The class to explain and to watch for all samples, by name or index. Default: "
            "each sample's prediction.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=f"Points of a curve. Default: {QUICK_STEPS}, with --thorough each unit.",
            show_default=False,
        ),
    ] = None,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough", metavar="", help="All methods, all steps, further numbers: slow."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of everything random.")] = 0,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Rows in one forward.")
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=DATA, help="Holds the texts or images."),
    ] = None,
    pair_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=DATA, help="Holds the second texts."),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=DATA, help="Holds the classes.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=DATA, help="Of a data set.")
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            metavar="",
            rich_help_panel=options.OUTPUT,
            help="Print no table and no progress.",
        ),
    ] = False,
    trust_remote_code: options.TrustRemoteCode = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Compare how faithful explanations are, over many samples.

    Words or patches are removed most and least relevant first: the further the two curves lie
    apart, the more faithful the method. The folder gets report.html, summary.json, table.tex and
    the numbers of every sample as Parquet.

    A run that was interrupted goes on when the same command is given again. Samples that
    cannot be read are skipped and listed.
    """
    done, total = 0, None
    with Progress(wanted=not quiet, unit="sample") as progress:
        progress.status("starting ...")
        from ..evaluate import evaluate as run
        from ..evaluate.columns import Columns
        from ..evaluate.data import open_source
        from ..evaluate.run import task_of

        def advanced(now: int, of: int | None) -> None:
            nonlocal done, total
            if total is None and done == 0:
                progress.start(of)
            progress.advance(now - done)
            done, total = now, of

        try:
            with quiet_libraries(verbose, downloads=progress.shown):
                progress.status(f"reading {data} and {model} ...")
                source = open_source(data, Columns(column, pair_column, label_column), split)
                task = task_of(_model(model), source.kind, trust_remote_code=trust_remote_code)
                names = dict(enumerate(task.labels))
                report = run(
                    task,
                    source,
                    methods=_names(methods),
                    operators=_names(operators),
                    samples=samples,
                    out=out,
                    target=None if target is None else class_of(target, names, len(names)),
                    thorough=thorough,
                    steps=steps if steps is not None or thorough else QUICK_STEPS,
                    batch_size=batch_size,
                    seed=seed,
                    progress=advanced,
                )
        except KeyboardInterrupt:
            progress.clear()
            from ..evaluate.counted import counted

            said = counted(done) if total is None else f"{done} of {counted(total)}"
            say(f"{said} are done and kept in {out}; the same command goes on from there")
            raise
    if not quiet:
        emit(f"{report}\n")
    say(f"wrote {out}/report.html")
    return 0


def _model(name: str) -> Any:
    """A bundled model by its short name, unless there is such a folder; else the name."""
    from pathlib import Path

    from .. import demo

    shipped = getattr(demo, name, None) if name in ("sentiment", "vit") else None
    return name if shipped is None or Path(name).exists() else shipped()


def _names(given: list[str] | None) -> list[str] | None:
    """Names of a repeated option, each a list separated by commas."""
    if given is None:
        return None
    return [name for part in given for name in re.split(r"[,\s]+", part) if name]
