"""Methods compared over a data set, resumable, with a report."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, TargetError
from ..targets import per_sample
from .checks import check_tables
from .chunks import Extra, Plan, evaluate_chunk
from .counted import counted
from .data import Given, Source
from .extras import Marked, Thorough
from .front import Progress
from .identity import identity, made_with
from .keys import key_of
from .memory import peak_megabytes
from .methods import Method, make_methods
from .removal import check_any, operator_of
from .report import FILES, Report
from .store import Store, fingerprint
from .summary import summarise
from .task import Task, settle

CHUNK = 16
"""Samples in one part of the work: what a kill costs at most."""

DEFAULT_OPERATORS = 2
REFERENCE = "attnlrp"


def compare(
    task: Task,
    source: Source,
    methods: Iterable[Any] | str | None,
    operators: Sequence[str] | str | None,
    *,
    out: str | os.PathLike[str] | None,
    target: Any,
    thorough: bool,
    steps: int | None,
    batch_size: int | None,
    seed: int,
    reference: str | None,
    progress: Progress | None,
) -> Report:
    """Methods compared on the samples of ``source``; arguments as in :func:`lxt.evaluate`."""
    chosen, left_out = make_methods(task, methods, thorough, seed)
    if not chosen:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items()) or "none given"
        raise InputError(f"there is no method to evaluate ({reasons})")
    names = _operators(task, operators)
    target = _watched(task, target)
    compared = _reference(reference, chosen)
    extras: list[Extra] = [Marked(), *([Thorough(seed, batch_size)] if thorough else [])]
    plan = Plan(task, chosen, names, target, steps, batch_size, seed, extras)
    settings = _settings(plan, source, thorough)
    with _folder(out) as folder:
        store = Store(folder, settings, made_with())
        memory = _memory(task, chosen)  # first: it warms the methods up for their times
        _run(plan, source, store, progress)
        tables = {name: store.table(name) for name in (*FILES, "skipped", "failed")}
        rows = {name: tables[name].to_pylist() for name in ("per_sample", "curves")}
        skipped = tables["skipped"].to_pylist()
        if not rows["per_sample"]:
            raise InputError(_nothing(skipped, tables["failed"].to_pylist(), source))
        summary = summarise(rows["per_sample"], rows["curves"], compared, seed, memory)
        summary |= _about(plan, source, settings, skipped, rows["per_sample"])
        summary["left_out"] = [{"method": n, "reason": why} for n, why in left_out.items()]
        if thorough:
            summary["extras"] = check_tables(task, source, chosen, target, seed)
        summary["left_out"] += _failures(tables["failed"].to_pylist())
        report = Report(summary, {n: tables[n] for n in FILES}, None if out is None else folder)
        if out is not None:
            report.save(folder)
    return report


def task_of(
    model: Any,
    kind: str,
    processor: Any = None,
    labels: Any = None,
    cell: int | tuple[int, int] | None = None,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
) -> Task:
    """The task of a model for texts or images; a task is taken as it is.

    Raises:
        InputError: the task is of the other kind.
    """
    if isinstance(model, Task):
        if model.kind != kind:
            raise InputError(f"expected {model.kind}s for this model, got {kind}s")
        return model
    if kind == "text":
        from .text import TextTask

        return TextTask.load(model, processor, device=device, trust_remote_code=trust_remote_code)
    from .image import ImageTask

    return ImageTask.load(
        model, processor, labels, cell=cell, device=device, trust_remote_code=trust_remote_code
    )


def _watched(task: Task, target: Any) -> int | None:
    """The index of the class that is watched on all samples; None: of each the predicted one.

    It is what a folder records, so that the name "1" and the index 1 are not taken for each
    other, and it is found before the folder takes the settings: a name misspelt shall not claim
    it.

    Raises:
        TargetError: the model has no such class, or a target for each sample came.
    """
    if target is None:
        return None
    if per_sample(target):
        raise TargetError(
            "expected one class for all samples, or None for the predicted one of each, got "
            f"{type(target).__name__} with {len(target)} entries"
        )
    probe = task.probe()
    with torch.no_grad():
        batch = settle(probe, task, task.logits(probe.inputs), target)
    return int(batch.targets[0])


def _operators(task: Task, wanted: Sequence[str] | str | None) -> list[str]:
    check_any(task)
    if wanted is None:
        return list(task.operators)[:DEFAULT_OPERATORS]
    names = [wanted] if isinstance(wanted, str) else list(dict.fromkeys(wanted))
    if not names:
        raise InputError(f"no removal operator given: expected of {', '.join(task.operators)}")
    for name in names:
        operator_of(task, name)
    return names


def _reference(wanted: str | None, methods: Sequence[Method]) -> str:
    names = list(dict.fromkeys(method.name for method in methods))
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"the reference {wanted!r} is none of the methods: {', '.join(names)}")
        return wanted
    if REFERENCE in names:
        return REFERENCE
    return next((name for name in names if name not in ("random", "centre")), names[0])


def _settings(plan: Plan, source: Source, thorough: bool) -> dict[str, Any]:
    """Everything that decides the numbers."""
    from .. import __version__

    return {
        "version": __version__,
        **identity(plan.task),
        "data": fingerprint({"key": source.key}),
        "methods": [[m.name, m.seed, m.identity] for m in plan.methods],
        "operators": list(plan.operators),
        "target": plan.target,
        "steps": plan.steps,
        "batch_size": plan.batch_size,
        "thorough": thorough,
        "seed": plan.seed,
        "chunk": CHUNK,
    }


def _run(plan: Plan, source: Source, store: Store, progress: Progress | None) -> None:
    done, number = 0, -1
    for number, chunk in enumerate(_chunks(source)):
        key = None if source.known else _key(chunk, source.kind == "image")
        if not store.finished(number, key):
            store.add(number, evaluate_chunk(plan, chunk), key)
        done += len(chunk)
        if progress is not None:
            progress(done, source.total)
    store.check_end(number + 1)


def _key(chunk: Sequence[tuple[int, Given]], image: bool) -> str:
    return fingerprint({"samples": [key_of(sample, image) for _, sample in chunk]})


def _chunks(source: Source) -> Iterator[list[tuple[int, Given]]]:
    """The samples by their places; an id that comes again is told apart by its place."""
    seen: set[str] = set()

    def unique() -> Iterator[tuple[int, Given]]:
        for index, sample in enumerate(source.samples()):
            name = sample.id if sample.id not in seen else f"{sample.id} #{index}"
            seen.add(name)
            yield index, replace(sample, id=name)

    samples = unique()
    while chunk := list(itertools.islice(samples, CHUNK)):
        yield chunk


@contextmanager
def _folder(out: str | os.PathLike[str] | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="lxt-like-") as folder:
        yield Path(folder)


def _memory(task: Task, methods: Sequence[Method]) -> dict[str, float]:
    """Peak megabytes of each method on one plain sample."""
    found: dict[str, float] = {}
    probe = task.probe()
    for method in methods:
        if method.name in found:
            continue
        try:
            found[method.name] = peak_megabytes(
                lambda run=method: run(task, probe),  # type: ignore[misc]
                probe.member.device,
            )
        except Exception:  # a method may be anybody's function
            continue  # it is listed where it failed on samples
    return found


def _about(
    plan: Plan,
    source: Source,
    settings: dict[str, Any],
    skipped: list[dict[str, Any]],
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    from .. import __version__

    notes = list(source.notes)
    strange = {
        row["sample"]: row["label"]
        for row in rows
        if row["label"] is not None and row["correct"] is None
    }
    if strange:
        some = ", ".join(sorted(set(strange.values()))[:5])
        count = (
            "1 sample has a label that is"
            if len(strange) == 1
            else (f"{len(strange)} samples have labels that are")
        )
        notes.append(
            f"{count} no class of the model ({some}): whether they are predicted right is not known"
        )
    return {
        "lxt_like": __version__,
        "model": {
            "name": plan.task.name or type(plan.task.model).__name__,
            "kind": plan.task.kind,
            "labels": list(plan.task.labels),
        },
        "data": {"name": source.name, "notes": notes, "skipped": skipped},
        "settings": settings,
        "extras": [],
    }


def _failures(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Methods that failed on samples, once each."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["method"], []).append(row["reason"])
    return [
        {"method": name, "reason": f"failed on {counted(len(reasons))}, the first: {reasons[0]}"}
        for name, reasons in groups.items()
    ]


def _nothing(
    skipped: Sequence[dict[str, Any]], failed: Sequence[dict[str, Any]], source: Source
) -> str:
    if skipped:
        first = f"{skipped[0]['sample']}: {skipped[0]['reason']}"
        return (
            f"no sample of {source.name} could be evaluated; the first of {len(skipped)}: {first}"
        )
    if failed:
        return f"every method failed; {failed[0]['method']}: {failed[0]['reason']}"
    return f"there are no samples in {source.name}"
