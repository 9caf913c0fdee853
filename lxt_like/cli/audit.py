"""``lxt-like audit``: every operation that ran, its rule, its share, and whether it adds up."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .guard import SOME_FAILED, guarded
from .progress import Progress
from .streams import emit, emit_json
from .table import Column, table, terminal_width

if TYPE_CHECKING:
    from ..ledger import Audit

_COLUMNS = (
    Column("module"),
    Column("operation"),
    Column("kind", spared=True),
    Column("rule"),
    Column("relevance", right=True),
    Column("kept", right=True),
    Column("residual", right=True),
)


@guarded
def audit(
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT|IMAGE",
            help="Default: a sample that suits the model.",
            show_default=False,
        ),
    ] = None,
    model: options.Model = None,
    target: options.Target = None,
    foil: options.Foil = None,
    pair: options.Pair = None,
    prefix: options.Prefix = None,
    composite: options.CompositeName = "attnlrp",
    as_json: options.Json = False,
    trust_remote_code: options.TrustRemoteCode = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """List every operation that ran, its rule and its share; exit code 1 if it does not add up.

    relevance is what arrived at an operation's output, kept what its rule declares to keep
    (biases, softmax ...), residual what is lost or gained beyond that: 0 up to rounding.
    """
    with Progress() as progress:
        progress.status("starting ...")
        from ..attribution import audit as run
        from .subject import subject

        with subject(
            text, model, composite, progress, verbose, trust_remote_code, pair, prefix
        ) as loaded:
            sample = loaded.sample if text is None else text
            progress.status("auditing ...")
            reading = loaded.read(sample, target, foil)
            made = run(loaded.model, reading.inputs, reading.target, loaded.composite)
    label, index = reading.label, reading.index
    account = made.ledger.account(0)
    if as_json:
        document = {
            "model": loaded.name,
            "composite": composite,
            "text": sample,
            **{k: v for k, v in (("pair", loaded.pair), ("prefix", prefix)) if v is not None},
            "target": {"label": label, "index": index, "score": account.score},
            "ok": made.ok,
            "rows": [{**asdict(row), "declared": dict(row.declared)} for row in made.rows],
            "ledger": {
                "score": account.score,
                "inputs": account.inputs,
                "entries": dict(account.entries),
                "unruled": account.unruled,
                "gap": account.gap,
            },
        }
        emit_json(json.dumps(document, indent=1) + "\n")
    else:
        given = "\n".join(part for part in (sample, pair, prefix) if part is not None)
        emit(f"{loaded.name} · {composite} · {label}\n{given}\n\n{shown(made, terminal_width())}")
    return 0 if made.ok else SOME_FAILED


def shown(audit: Audit, width: int | None) -> str:
    """An audit as a table, with its ledger and the verdict, ending in a newline."""
    rows = [
        (
            r.path or "(model)",
            r.op,
            r.kind,
            r.rule,
            f"{r.arrived:+.4g}",
            f"{sum(r.declared.values()):+.4g}",
            f"{r.residual:.1e}",
        )
        for r in audit.rows
    ]
    verdict = "ok: the account closes" if audit.ok else "NOT ok: the account does not close"
    return f"{table(_COLUMNS, rows, width)}\n\n{audit.ledger}\n\n{verdict}\n"
