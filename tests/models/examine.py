"""One model explained and checked: a row of the coverage matrix a composite."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import lxt_like as lxt
from tests.models import plain, vision, zoo
from tests.restore.snapshot import differences, snapshot

COMPOSITES = ("attnlrp", "cp_lrp")
SECONDS = 240
GOOD = "closes"
MISSING = "missing package"
NOT_BUILT = "not built"
LINEAR = {"linear", "conv", "add", "pooling", "activation", "batch_norm"}
"""Kinds whose rules are the gradient itself where the activations are ReLUs."""
TASKS = (*zoo.TASKS, "timm", "torch")


def types_of(task: str) -> list[str]:
    """The model types of a task."""
    if task == "timm":
        return list(vision.families())
    return list(plain.TYPES) if task == "torch" else sorted(zoo.TASKS[task])


def source(task: str) -> Any:
    """What builds the models of a task."""
    return {"timm": vision, "torch": plain}.get(task, zoo)


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
        result = MISSING if _lacks_package(e) else NOT_BUILT
        return [Row(model_type, task, c, result, brief(e)) for c in COMPOSITES]
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
            lean = lxt.attribute(model, given, target, composite)
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
    without = lean.relevance.values() if isinstance(lean.relevance, dict) else [lean.relevance]
    off = sum(float((a - b).abs().sum()) for a, b in zip(parts, without, strict=True)) / total
    if off > 1e-3:
        return Row(model_type, task, composite, "ledger differs", f"by {off:.1e}")
    moved = book.score.abs() + total / len(book.score) + sum(v.abs() for v in book.entries.values())
    gap = float((book.gap.abs() / moved).max())
    unruled = float((book.unruled / moved).max())
    if not (gap <= 1e-4 and unruled <= 1e-4):
        return Row(model_type, task, composite, "open", f"gap {gap:.1e}, unruled {unruled:.1e}")
    strange = set(book.entries) - set(lxt.rules.CAUSES)
    if strange:
        return Row(model_type, task, composite, "unknown cause", ", ".join(sorted(strange)))
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


def _lacks_package(e: Exception) -> bool:
    return isinstance(e, ImportError) and "requires the" in str(e)
