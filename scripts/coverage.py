#!/usr/bin/env python
"""The coverage matrix: every model type that transformers knows, patched and accounted for.

    python scripts/coverage.py                                   # everything, about half an hour
    python scripts/coverage.py --task causal-lm --type llama     # one model, in detail
    python scripts/coverage.py --check                           # exit 1 if what worked does not

For each model type of the auto-mappings a tiny random model is built from its configuration and
explained under ``attnlrp`` and ``cp_lrp``.  Checked are: the forward is unchanged; nothing is
unruled; the ledger closes to 1e-4; gradients under the patch differ from the plain ones; relevance
is not all zero; the model is restored to identical objects.  Writes docs/coverage.md and
docs/coverage.json.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lxt_like as lxt
from tests.models import plain, vision, zoo
from tests.restore.snapshot import differences, snapshot

ROOT = Path(__file__).resolve().parents[1]
COMPOSITES = ("attnlrp", "cp_lrp")
SECONDS = 90
GOOD = "closes"
LINEAR = {"linear", "conv", "add", "pooling", "activation", "batch_norm"}
"""Kinds whose rules are the gradient itself where the activations are ReLUs."""


def types_of(task: str) -> list[str]:
    """The model types of a task."""
    if task == "timm":
        return list(vision.families())
    return list(plain.TYPES) if task == "torch" else sorted(zoo.TASKS[task])


def source(task: str) -> Any:
    """What builds the models of a task."""
    return {"timm": vision, "torch": plain}.get(task, zoo)


TASKS = (*zoo.TASKS, "timm", "torch")


@dataclass(frozen=True)
class Row:
    """One model under one composite."""

    type: str
    task: str
    composite: str
    result: str
    detail: str = ""


def first_logits(output: Any) -> Tensor:
    """A tensor of scores [batch, ...] of any output."""
    if isinstance(output, Tensor):
        return output
    for name in (
        "logits",
        "start_logits",
        "logits_per_image",
        "logits_per_video",
        "last_hidden_state",
    ):
        found = output.get(name) if hasattr(output, "get") else None
        if isinstance(found, Tensor):
            return found
    return next(v for v in output.values() if isinstance(v, Tensor) and v.is_floating_point())


def run(model: Any, given: Any) -> Any:
    """The model's output."""
    return model(given) if isinstance(given, Tensor) else model(**given)


def score(output: Any) -> Tensor:
    """One number a sample: the third logit at the last position (the first may be padding: 0)."""
    logits = first_logits(output)
    if hasattr(output, "get") and logits is output.get("logits_per_image"):
        return logits.diagonal()
    flat = logits if logits.dim() <= 2 else logits.flatten(1, -2)[:, -1]
    return flat[:, min(2, flat.shape[1] - 1)] if flat.dim() == 2 else flat


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """TimeoutError after ``seconds``."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def examine(model_type: str, task: str) -> list[Row]:
    """The rows of one model; a model that cannot be built or run says why."""
    try:
        with limited(SECONDS):
            model = source(task).build(model_type, task)
            given = source(task).example(model)
            # torch chooses other kernels where no gradient is asked for
            with torch.no_grad():
                before = [first_logits(run(model, given)).clone()]
            if not bool(torch.isfinite(before[0]).all()):
                raise ValueError("the random model's own output is not finite")
            was = snapshot(model)
            before.append(first_logits(run(model, given)).detach().clone())
            own = {d.split(":")[0] for d in differences(was, model)}  # state the model itself keeps
    except Exception as e:
        return [Row(model_type, task, c, "not built", brief(e)) for c in COMPOSITES]
    return [one(model_type, task, model, given, before, c, own) for c in COMPOSITES]


def one(
    model_type: str,
    task: str,
    model: Any,
    given: dict[str, Tensor],
    before: list[Tensor],
    composite: str,
    own: set[str],
) -> Row:
    """One model under one composite."""
    was = snapshot(model)
    try:
        with limited(SECONDS):
            target = lxt.targets.Output(score)
            found = lxt.attribute(model, given, target, composite, ledger=True)
            plain = lxt.attribute(model, given, target, "gradient")
    except Exception as e:
        kind = "no rule" if isinstance(e, lxt.errors.UnruledError) else "error"
        return Row(model_type, task, composite, kind, brief(e))
    changed = [d for d in differences(was, model) if d.split(":")[0] not in own]
    if changed:
        return Row(model_type, task, composite, "not restored", str(changed[0])[:200])
    book = found.ledger
    assert book is not None
    parts = found.relevance.values() if isinstance(found.relevance, dict) else [found.relevance]
    logits = first_logits(found.output)
    if not any(torch.equal(logits, b) for b in before):
        off = min(float((logits - b).abs().max()) for b in before)
        return Row(model_type, task, composite, "forward changed", f"by {off:.1e}")
    if not all(bool(p.abs().sum() > 0) for p in parts):
        return Row(model_type, task, composite, "all zero")
    total = sum(float(p.double().abs().sum()) for p in parts)
    moved = book.score.abs() + total / len(book.score) + sum(v.abs() for v in book.entries.values())
    gap = float((book.gap.abs() / moved).max())
    unruled = float((book.unruled / moved).max())
    if not (gap <= 1e-4 and unruled <= 1e-4):
        return Row(model_type, task, composite, "open", f"gap {gap:.1e}, unruled {unruled:.1e}")
    others = plain.relevance.values() if isinstance(plain.relevance, dict) else [plain.relevance]
    same = all(torch.equal(a, b) for a, b in zip(parts, others, strict=True))
    if same:
        rows = lxt.plan(model, composite, given).rows
        ruled = {"batch_norm" if r.op == "batch_norm" else r.kind for r in rows}
        if ruled <= LINEAR:
            return Row(model_type, task, composite, GOOD, "piecewise linear: the gradient itself")
        return Row(model_type, task, composite, "same as gradient", ", ".join(sorted(ruled)))
    return Row(model_type, task, composite, GOOD, ", ".join(sorted(book.entries)))


def brief(e: Exception) -> str:
    return f"{type(e).__name__}: {' '.join(str(e).split())[:240]}"


def page(rows: list[Row]) -> str:
    """docs/coverage.md."""
    from transformers import __version__

    counts = Counter((r.composite, r.result) for r in rows)
    lines = [
        "# Coverage",
        "",
        "<!-- Made by scripts/coverage.py. -->",
        "",
        f"Tiny random models of transformers {__version__}, one per type and task, in float32.",
        "",
        "| result | " + " | ".join(f"`{c}`" for c in COMPOSITES) + " |",
        "| --- | " + " | ".join("---:" for _ in COMPOSITES) + " |",
    ]
    for result in sorted({r.result for r in rows}, key=lambda r: (r != GOOD, r)):
        cells = " | ".join(str(counts[c, result]) for c in COMPOSITES)
        lines.append(f"| {result} | {cells} |")
    lines += ["", "| type | task | `attnlrp` | `cp_lrp` | what is particular |"]
    lines.append("| --- | --- | --- | --- | --- |")
    by_model: dict[tuple[str, str], dict[str, Row]] = {}
    for r in rows:
        by_model.setdefault((r.type, r.task), {})[r.composite] = r
    for (model_type, task), found in sorted(by_model.items()):
        results = [found[c].result if c in found else "" for c in COMPOSITES]
        detail = next((found[c].detail for c in COMPOSITES if c in found), "").replace("|", "\\|")
        lines.append(f"| {model_type} | {task} | {results[0]} | {results[1]} | {detail} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=sorted(TASKS), action="append")
    parser.add_argument("--type", action="append", help="model types; default: all")
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "coverage.json")
    parser.add_argument("--check", action="store_true", help="compare with the file; write nothing")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    rows: list[Row] = []
    for task in options.task or TASKS:
        for model_type in types_of(task):
            if options.type and model_type not in options.type:
                continue
            start = time.perf_counter()
            found = examine(model_type, task)
            rows += found
            said = "; ".join(f"{r.composite} {r.result} {r.detail}" for r in found)
            print(f"{task} {model_type} ({time.perf_counter() - start:.1f} s): {said}", flush=True)
    known = json.loads(options.json.read_text()) if options.json.is_file() else []
    good = {(r["type"], r["task"], r["composite"]) for r in known if r["result"] == GOOD}
    lost = [r for r in rows if r.result != GOOD and (r.type, r.task, r.composite) in good]
    for r in lost:
        print(f"worked before: {r}", file=sys.stderr)
    if not (options.check or options.task or options.type):
        options.json.write_text(json.dumps([asdict(r) for r in rows], indent=1) + "\n")
        options.json.with_suffix(".md").write_text(page(rows), encoding="utf-8")
    counts = Counter(r.result for r in rows)
    print(", ".join(f"{n} {result}" for result, n in counts.most_common()))
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
