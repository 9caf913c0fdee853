#!/usr/bin/env python
"""The coverage matrix: every model type that transformers knows, patched and accounted for.

    python scripts/coverage.py                                   # everything, about half an hour
    python scripts/coverage.py --task causal-lm --type llama     # one model, in detail
    python scripts/coverage.py --check                           # exit 1 if what worked does not
    python scripts/coverage.py --type llama --update             # these rows of the page anew

For each model type of the auto-mappings, each timm family (where timm is installed) and torch's own
transformers a tiny random model is built and explained under ``attnlrp`` and ``cp_lrp``.  Checked
are: the forward is unchanged; nothing is unruled; the ledger closes to 1e-4; gradients under the
patch differ from the plain ones; relevance is not all zero; the model is restored to identical
objects.  Writes docs/coverage.md and docs/coverage.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.models.examine import COMPOSITES, GOOD, MISSING, NOT_BUILT, TASKS, Row, examine, types_of
from tests.models.special import REASONS

COST = r"\d+ minutes with \d+ workers, each below [\d.]+ GiB\."
ROOT = Path(__file__).resolve().parents[1]


def quiet() -> None:
    """One worker: one thread, no chatter."""
    import transformers

    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)


def timed(what: tuple[str, str]) -> tuple[list[Row], float, float]:
    """The rows of one model, the seconds that they took, and the process's peak memory in GiB."""
    start = time.perf_counter()
    rows = examine(what[1], what[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return rows, time.perf_counter() - start, peak


def reason(row: Row) -> str:
    """Why a row does not close, or what is particular."""
    return row.detail if row.result == GOOD else REASONS.get(row.type, row.detail)


def counted(rows: list[Row]) -> str:
    """The two shares that matter: of the models that can be had, and of those that were built."""
    models: dict[tuple[str, str], list[str]] = {}
    for r in rows:
        models.setdefault((r.task, r.type), []).append(r.result)
    had = [results for results in models.values() if MISSING not in results]
    built = [results for results in had if NOT_BUILT not in results]
    good = sum(all(r == GOOD for r in results) for results in built)
    return (
        f"{len(models)} models; {len(models) - len(had)} need a package that is not there; of the "
        f"other {len(had)}, {len(built)} were built ({len(built) / max(len(had), 1):.1%}); of "
        f"these {good} pass every check under both composites ({good / max(len(built), 1):.1%})"
    )


def page(rows: list[Row], cost: str) -> str:
    """docs/coverage.md."""
    from transformers import __version__

    counts = Counter((r.composite, r.result) for r in rows)
    names = " | ".join(f"`{c}`" for c in COMPOSITES)
    by_model: dict[tuple[str, str], dict[str, Row]] = {}
    for r in rows:
        by_model.setdefault((r.type, r.task), {})[r.composite] = r

    def line(key: tuple[str, str]) -> str:
        found = by_model[key]
        worst = next((r for r in found.values() if r.result != GOOD), found[COMPOSITES[0]])
        results = " | ".join(found[c].result if c in found else "" for c in COMPOSITES)
        return f"| {key[0]} | {key[1]} | {results} | {reason(worst).replace('|', chr(92) + '|')} |"

    def table(keys: list[tuple[str, str]], last: str) -> list[str]:
        head = [f"| type | task | {names} | {last} |", "| --- | --- | --- | --- | --- |"]
        return [*head, *(line(k) for k in keys), ""]

    open_ones = [
        k for k, v in sorted(by_model.items()) if any(r.result != GOOD for r in v.values())
    ]
    closed = [k for k in sorted(by_model) if k not in set(open_ones)]
    return "\n".join(
        [
            "# Coverage",
            "",
            "<!-- Made by scripts/coverage.py. -->",
            "",
            f"Small random models of transformers {__version__}, one per type and task of its",
            "auto-mappings; one of each timm family; torch's own transformers. All in float32,",
            "with random biases, under two composites: the forward is unchanged bit for bit,",
            "nothing is unruled, the ledger closes to 1e-4 of what it moves (|score| + the inputs'",
            "summed |relevance| + |entries|), relevance is neither zero nor the plain gradient's",
            "(piecewise linear networks aside) and the same without a ledger, and the model is",
            "restored to identical objects.",
            "",
            f"{counted(rows)}.",
            "",
            f"{cost} `python scripts/coverage.py` makes this page; `--check` compares with it.",
            "",
            f"| result | {names} |",
            "| --- | " + " | ".join("---:" for _ in COMPOSITES) + " |",
            *(
                f"| {result} | " + " | ".join(str(counts[c, result]) for c in COMPOSITES) + " |"
                for result in sorted({r.result for r in rows}, key=lambda r: (r != GOOD, r))
            ),
            "",
            "## What does not close, and why",
            "",
            *table(open_ones, "why"),
            "## What closes",
            "",
            "The last column names the ledger's entries beside the inputs.",
            "",
            *table(closed, "what is particular"),
        ]
    )


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=sorted(TASKS), action="append")
    parser.add_argument("--type", action="append", help="model types; default: all")
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "coverage.json")
    parser.add_argument("--check", action="store_true", help="compare with the file; write nothing")
    parser.add_argument("--update", action="store_true", help="put these rows into the page")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    quiet()
    wanted = [
        (task, t)
        for task in options.task or TASKS
        for t in types_of(task)
        if not options.type or t in options.type
    ]
    rows: list[Row] = []
    start, peak = time.perf_counter(), 0.0
    # a worker lives for some models only: what libraries cache does not add up
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers, quiet, maxtasksperchild=40) as pool:
        for found, seconds, memory in pool.imap(timed, wanted):
            rows += found
            peak = max(peak, memory)
            said = "; ".join(f"{r.composite} {r.result} {r.detail}" for r in found)
            print(
                f"{found[0].task} {found[0].type} ({seconds:.1f} s, {memory:.1f} GiB): {said}",
                flush=True,
            )
    cost = (
        f"{(time.perf_counter() - start) / 60:.0f} minutes with {options.workers} workers, each "
        f"below {peak:.1f} GiB."
    )
    known = json.loads(options.json.read_text()) if options.json.is_file() else []
    good = {(r["type"], r["task"], r["composite"]) for r in known if r["result"] == GOOD}
    lost = [r for r in rows if r.result != GOOD and (r.type, r.task, r.composite) in good]
    for r in lost:
        print(f"worked before: {r}", file=sys.stderr)
    if options.update:
        fresh = {(r.type, r.task) for r in rows}
        rows = [Row(**r) for r in known if (r["type"], r["task"]) not in fresh] + rows
        cost = re.findall(COST, options.json.with_suffix(".md").read_text(encoding="utf-8"))[0]
    if options.update or not (options.check or options.task or options.type):
        options.json.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n")
        options.json.with_suffix(".md").write_text(page(rows, cost), encoding="utf-8")
    print(", ".join(f"{n} {result}" for result, n in Counter(r.result for r in rows).most_common()))
    print(f"{counted(rows)}.\n{cost}")
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
