"""``lxt-like plan``: which rule a composite applies where in a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
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
        typer.Option(
            "--text",
            "--image",
            metavar="TEXT|IMAGE",
            help="List what runs on this text or image, in execution order.",
        ),
    ] = None,
    pair: options.Pair = None,
    prefix: options.Prefix = None,
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

    Without --text or --image the modules are listed, equal layers in one line; with it, every
    operation that runs, those written inline in the model's code among them.
    """
    from ..render.files import require_writable, suffix_of, write

    if text is None and (pair or prefix) is not None:
        raise InputError("--pair and --prefix go with a text: add --text TEXT")
    suffix = None if out is None else suffix_of(out, _SUFFIXES)
    if out is not None:
        require_writable(out)
    with Progress() as progress:
        progress.status("starting ...")
        from ..attribution import plan as make
        from .subject import subject

        with subject(
            text, model, composite, progress, verbose, trust_remote_code, pair, prefix
        ) as loaded:
            inputs = None if text is None else loaded.inputs(text)
            made = make(loaded.model, loaded.composite, inputs)
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
    note = "Operations written inline in the model's code are listed with --text or --image."
    return table([*columns, Column("rule")], rows, width) + f"\n\n{note}\n"


def grouped(rows: Sequence[PlanRow]) -> list[tuple[str, PlanRow]]:
    """Rows that differ only in the numbers in their paths as one: ``layer.{0-5}.dense``.

    Numbers are joined place by place, the last one first, and only where everything else is
    equal: the joined paths stand for exactly the paths that there are.
    """
    items = [(row.path.split("."), row) for row in rows]
    for at in reversed(range(max((len(parts) for parts, _ in items), default=0))):
        groups: dict[tuple[str, ...], list[tuple[list[str], PlanRow]]] = {}
        for parts, row in items:
            masked = parts
            if at < len(parts) and parts[at].isdecimal():
                masked = [*parts[:at], "#", *parts[at + 1 :]]
            key = (".".join(masked), row.module, row.kind, row.rule)
            groups.setdefault(key, []).append((parts, row))
        items = [_joined(group, at) for group in groups.values()]
    return [(".".join(parts), row) for parts, row in items]


def _joined(group: Sequence[tuple[list[str], PlanRow]], at: int) -> tuple[list[str], PlanRow]:
    parts, row = group[0]
    if len(group) == 1:
        return parts, row
    return [*parts[:at], _span(sorted(int(p[at]) for p, _ in group)), *parts[at + 1 :]], row


def _span(numbers: Sequence[int]) -> str:
    """``{0-2,5}``"""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return "{" + ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs) + "}"
