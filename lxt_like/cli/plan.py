"""``lxt-like plan``: which rule a composite applies where in a model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .guard import guarded
from .progress import Progress
from .streams import emit, emit_json, say
from .table import Column, table, terminal_width

if TYPE_CHECKING:
    from ..composites.plan import Plan, PlanRow

_SUFFIXES = (".txt", ".json")


@guarded
def plan(
    model: options.Model = None,
    composite: options.CompositeName = "attnlrp",
    text: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="List what runs on this text, in execution order."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            rich_help_panel=options.OUTPUT,
            help="Write it to a .txt or .json file.",
        ),
    ] = None,
    as_json: options.Json = False,
    trust_remote_code: options.TrustRemoteCode = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Show which rule applies where: module, kind of operation, rule.

    Without --text the modules are listed, equal layers in one line; with it, every
    operation that runs, those written inline in the model's code among them.
    """
    from ..render.files import require_writable, suffix_of, write

    suffix = None if out is None else suffix_of(out, _SUFFIXES)
    if out is not None:
        require_writable(out)
    with Progress() as progress:
        progress.status("starting ...")
        from ..attribution import plan as make
        from .model import opened, read

        with opened(model, composite, progress, verbose, trust_remote_code) as loaded:
            inputs = None if text is None else read(loaded, text).inputs
            made = make(loaded.model, composite, inputs)
    document = json.dumps({"model": loaded.name, **made.to_dict()}, indent=1) + "\n"
    title = f"{loaded.name} · {composite}\n\n"
    if out is not None:
        write(out, document if suffix == ".json" else title + shown(made, None))
        say(f"wrote {out}")
    if as_json:
        emit_json(document)
    elif out is None:
        emit(title + shown(made, terminal_width()))
    return 0


def shown(plan: Plan, width: int | None) -> str:
    """A plan as a table, ending in a newline."""
    if any(row.op for row in plan.rows):
        columns = [Column("module"), Column("operation"), Column("kind", spared=True)]
        rows = [(r.path or "(model)", r.op or "", r.kind, r.rule) for r in plan.rows]
        return table([*columns, Column("rule")], rows, width) + "\n"
    columns = [Column("module"), Column("type", spared=True), Column("kind")]
    rows = [(path or "(model)", r.module, r.kind, r.rule) for path, r in grouped(plan.rows)]
    note = "Operations written inline in the model's code are listed with --text TEXT."
    return table([*columns, Column("rule")], rows, width) + f"\n\n{note}\n"


def grouped(rows: Sequence[PlanRow]) -> list[tuple[str, PlanRow]]:
    """Rows that differ only in the numbers in their paths as one: ``layer.{0-5}.dense``."""
    groups: dict[tuple[str, str, str, str], list[PlanRow]] = {}
    for row in rows:
        pattern = re.sub(r"(?<![^.])\d+(?![^.])", "#", row.path)
        groups.setdefault((pattern, row.module, row.kind, row.rule), []).append(row)
    return [(_path(pattern, group), group[0]) for (pattern, *_), group in groups.items()]


def _path(pattern: str, group: Sequence[PlanRow]) -> str:
    numbers = [[int(n) for n in re.findall(r"(?<![^.])\d+(?![^.])", r.path)] for r in group]
    parts = pattern.split("#")
    spans = [_span(sorted(set(column))) for column in zip(*numbers, strict=True)]
    return "".join(part + span for part, span in zip(parts, [*spans, ""], strict=True))


def _span(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return "{" + ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs) + "}"
