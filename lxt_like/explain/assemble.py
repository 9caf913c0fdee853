"""From the numbers of one text's rows to its explanation; windows become one account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

import torch

from ..explanation import TargetInfo, Token, total_account
from .encode import Encoding
from .heads import is_unnamed
from .result import TextExplanation
from .rows import RowResult
from .tasks import Task
from .tasks.classes import Classification
from .words import words_and_tokens


@dataclass(frozen=True, slots=True)
class Reading:
    """How one text was read: whole, cut off (one part) or in windows (several parts)."""

    encoding: Encoding
    parts: list[list[int]]
    results: list[RowResult]
    window: int | None = None


def assemble(reading: Reading, task: Task, composite: str) -> TextExplanation:
    """The explanation of one text; see :func:`.text.explain` for how windows are combined."""
    encoding, results = reading.encoding, reading.results
    taken = sorted(set().union(*reading.parts))
    words, tokens = words_and_tokens(encoding, _combine(reading), taken)

    found = results[0].found
    if isinstance(task, Classification) and len(results) > 1:
        logits = torch.stack([r.found.logits.double() for r in results]).mean(0)
        found = task.named(found.label, found.index, logits)
    target = TargetInfo(
        found.label,
        found.index,
        fsum(r.score for r in results) / len(results),
        found.probability,
    )
    accounts = [r.account for r in results if r.account is not None]
    return TextExplanation(
        encoding.texts,
        target,
        words,
        tokens,
        total_account(accounts, by=len(accounts)) if accounts else None,
        task.loaded.name,
        composite,
        (*encoding.notes, *found.notes, *_notes(reading, taken, tokens, target, task)),
    )


def _combine(reading: Reading) -> list[float]:
    """Relevance per token of the whole encoding: its sum over the parts by their number."""
    shares: list[list[float]] = [[] for _ in range(len(reading.encoding))]
    for positions, result in zip(reading.parts, reading.results, strict=True):
        for position, relevance in zip(positions, result.relevance, strict=True):
            shares[position].append(relevance)
    return [fsum(share) / len(reading.parts) for share in shares]


def _notes(
    reading: Reading,
    taken: Sequence[int],
    tokens: Sequence[Token],
    target: TargetInfo,
    task: Task,
) -> list[str]:
    notes = _cuts(reading.encoding, taken, task.parts)
    if len(reading.parts) > 1:
        notes.append(
            f"Read in {len(reading.parts)} overlapping windows of {reading.window} tokens: the "
            "score is the mean of the windows' scores, a probability that of their mean logits."
        )
    inside = [t for t in tokens if t.word is not None and t.text.strip("▁Ġ")]
    if not inside:
        notes.append("No words: the score comes from special tokens and white space alone.")
    unknown = getattr(task.tokenizer, "unk_token_id", None)
    if inside and unknown is not None and all(t.id == unknown for t in inside):
        notes.append("No word of the text is in the vocabulary: the model saw unknown tokens only.")
    if is_unnamed(target.label):
        notes.append(f"The model names no classes: {target.label} is its output {target.index}.")
    return notes


def _cuts(encoding: Encoding, taken: Sequence[int], names: Sequence[str]) -> list[str]:
    """A sentence for each text that was not read to the end, or not from the beginning."""
    notes: list[str] = []
    kept = set(taken)
    for segment, text in enumerate(encoding.texts):
        content = encoding.content(segment)
        read = [i for i in content if i in kept]
        if len(read) == len(content):
            continue
        start, end = _extent(encoding, read)
        what = f"characters {start} to {end} of {len(text)}" if read else "nothing"
        notes.append(
            f"Too long for the model: {len(read)} of {len(content)} tokens of the "
            f"{names[segment]} were read ({what})."
        )
    return notes


def _extent(encoding: Encoding, read: Sequence[int]) -> tuple[int, int]:
    spans = [encoding.spans[i] or (0, 0) for i in read]
    return min((s for s, _ in spans), default=0), max((e for _, e in spans), default=0)
