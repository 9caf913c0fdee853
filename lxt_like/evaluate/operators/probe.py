"""Whether words that are removed are hidden: each operator is tried before it is offered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...errors import LxtError, one_line
from ..removal import forwards
from ..task import Batch, Operator, Row

if TYPE_CHECKING:
    from ..text import TextTask

LEAK = 5e-3
"""Of what other words do to the answer: removed ones may do at most so much, and rounding."""

_FAULTS = (LxtError, RuntimeError, ValueError, IndexError, KeyError, TypeError, AssertionError)


@dataclass(frozen=True)
class Probe:
    """Four texts of one shape: a plain one, and with other even, odd, and all words.

    Attributes:
        clean: logits [4, C] of the texts.
        noise: how far equal logits may lie apart by rounding: as they do alone and together.
    """

    task: TextTask
    batch: Batch
    clean: Tensor
    noise: float

    def fault(self, op: Operator) -> str | None:
        """Why ``op`` does not remove words; None: it does.

        Texts that differ only in what is removed must give the same answer; those that differ in
        what is left must not; and with nothing removed the answer is the model's own.
        """
        n = self.batch.units[0]
        even = np.arange(n) % 2 == 0
        sets = [np.zeros(n, bool), np.ones(n, bool), even, ~even]
        samples = [i for _ in sets for i in range(4)]
        gone = [units for units in sets for _ in range(4)]
        try:
            found = forwards(self.task, self.batch, op, samples, gone)
        except _FAULTS as error:
            return f"the model cannot do it ({one_line(error)[:120]})"
        none, all_, evens, odds = found.double().reshape(len(sets), 4, -1)
        if not bool(torch.isfinite(found).all()):
            return "without words the model gives no finite logits"
        most = LEAK * _apart(self.clean[0], self.clean[1:]) + self.noise
        if _apart(none, self.clean) > most:
            return "with nothing removed the model already answers otherwise"
        hidden = [(all_[0], all_[1:]), (evens[0], evens[1:2]), (odds[0], odds[2:3])]
        if any(_apart(one, others) > most for one, others in hidden):
            return "the model still reads the words that are removed"
        for left, other in ((evens, 2), (odds, 1)):
            seen = _apart(self.clean[0], self.clean[other]) > self.noise
            if seen and torch.equal(left[0], left[other]):
                return "the model no longer reads the words that are left"
        return None


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def probe_of(task: TextTask, text: str) -> Probe | None:
    """The texts to try operators on; None where ``text`` has no word."""
    batch = task.prepare([Row(str(i), text) for i in range(4)])
    if not batch.units[0]:
        return None
    ids, member = batch.inputs["input_ids"].clone(), batch.member
    other = _other(task, ids[0][member[0] >= 0])
    word = member >= 0
    for i, those in ((1, member % 2 == 0), (2, member % 2 == 1), (3, word)):
        ids[i] = ids[i].masked_fill((word & those)[i], other)
    batch.inputs["input_ids"] = ids
    parts = [[i] for i in range(4)] + ([[*range(4)]] if task.chunk > 1 else [])
    with torch.inference_mode():
        found = [task.logits({n: v[at] for n, v in batch.inputs.items()}) for at in parts]
    floating = [p.dtype for p in task.model.parameters() if p.dtype.is_floating_point]
    coarsest = max(torch.finfo(dtype).eps for dtype in [*floating, found[0].dtype])
    clean = torch.cat(found[:4]).double()
    rounding = max((_apart(clean, together.double()) for together in found[4:]), default=0.0)
    return Probe(task, batch, clean, 4 * rounding + 32 * coarsest * float(clean.abs().max()))


def _other(task: TextTask, ids: Tensor) -> int:
    """A word's token that is not everywhere among ``ids`` already."""
    first = int(ids[0])
    if bool((ids != first).any()):
        return first
    special: Any = {first, *getattr(task.tokenizer, "all_special_ids", ())}
    return min({*task.tokenizer.get_vocab().values()} - special, default=first)
