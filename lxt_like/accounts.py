"""The backwards of a batch, with an account of each sample's score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from .intercept.measure import Measure
from .ledger import Ledger, make_ledger
from .observe import Observer
from .patch.inputs import Inputs

_CERTAIN = 5e-5
"""Accounts that close to this share of what came out were told apart rightly."""


class Accounts:
    """Runs the backwards and sums up.

    One backward of all samples is enough if what it booked can be told apart by sample, and the
    accounts close.  Where they do not for another reason (half precision, operations without a
    rule) the first sample's backward shows whether what it books is booked as its own.  If not
    (batches on another axis, scores that depend on other samples' inputs), there is one for each.
    """

    def __init__(self, measure: Measure, inputs: Inputs, observer: Observer) -> None:
        self.measure, self.inputs, self.observer = measure, inputs, observer

    def run(self, score: Tensor, kept: Mapping[str, Tensor], again: bool = False) -> Ledger:
        """The accounts of ``score`` [batch].

        ``kept``: entries of the target itself; ``again``: the last backward is to keep the graph.
        """
        samples = len(score)
        made = self._at_once(score, kept) if samples > 1 else None
        if made is not None:
            return made
        totals, before = [], 0.0
        for i in range(samples):
            self.measure.sums.begin(samples, i)
            score[i].backward(retain_graph=again or i + 1 < samples)
            now = float(self.inputs.total())
            totals.append(now - before)
            before = now
        made = self._ledger(score, totals, kept)
        return made if samples == 1 else replace(made, backwards=samples + 1)

    def _at_once(self, score: Tensor, kept: Mapping[str, Tensor]) -> Ledger | None:
        """By one backward, or by three; None if the samples cannot be told apart."""
        sums = self.measure.sums
        if sums.mixed:
            return None
        sums.begin(len(score), None)
        score.sum().backward(retain_graph=True)
        totals = self.inputs.total().each(len(score))
        if totals is not None and not sums.mixed:
            made = self._ledger(score, totals, kept)
            # by the net sums: what cancels inside is no excuse for shares of the wrong sample
            if replace(made, moved=None).closed_to(_CERTAIN):
                return made
            self._forget()
            # rows of several lengths, as in a packed batch, the first sample cannot tell
            if self.inputs.by_rows(len(score)) and self._told_apart(score):
                totals = self.inputs.total().each(len(score))
                assert totals is not None
                return replace(self._ledger(score, totals, kept), backwards=3)
        self._forget()
        return None

    def _told_apart(self, score: Tensor) -> bool:
        """Whether the first sample's backward books for it alone, and the others' not for it."""
        score[0].backward(retain_graph=True)
        first, booked = self._booked(len(score))
        if booked - {0}:
            return False
        score[1:].sum().backward(retain_graph=True)
        return self._booked(len(score))[0] == first

    def _booked(self, samples: int) -> tuple[list[float], set[int]]:
        """What was booked for the first sample, and which samples anything was booked for."""
        totals = self.inputs.total().each(samples) or [0.0] * samples
        found = self.measure.booked()
        for i, total in enumerate(totals):
            if total:
                found[i].append(total)
        return found[0], set(found)

    def _forget(self) -> None:
        """Forget what a backward left."""
        self.measure.forget()
        self.inputs.forget()
        self.observer.forget()

    def _ledger(self, score: Tensor, totals: list[float], kept: Mapping[str, Tensor]) -> Ledger:
        extra = [*kept.items(), *self.inputs.entries().items()]
        return make_ledger(self.measure, score, torch.tensor(totals, dtype=torch.float64), extra)
