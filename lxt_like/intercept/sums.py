"""What the backwards of one forward sum up, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from ..numerics import Amount


class Sums:
    """How sums are told apart by sample: by the backward that runs, or by where they stand.

    One backward of all samples is enough where the first axis of every tensor is the batch, or
    holds sample after sample.  Whether that is so is seen afterwards: the accounts close.

    Attributes:
        samples: how many samples there are.
        sample: the one whose backward runs; None: all of them at once.
        mixed: something was summed over samples, so that what was booked is not theirs.
        positions: (path, tokens) -> sample -> the share of each token's position.
    """

    def __init__(self) -> None:
        self.samples = 1
        self.sample: int | None = 0
        self.mixed = False
        self.positions: dict[tuple[str, int], dict[int, Tensor]] = {}
        self._aside = False

    def begin(self, samples: int, sample: int | None) -> None:
        """The backward of ``sample`` comes next, or that of all."""
        self.samples, self.sample = samples, sample

    def clear(self) -> None:
        """Forget what was summed up."""
        self.positions.clear()
        self.mixed = False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A backward that carries no relevance of an explained score: nothing of it is kept."""
        before, self._aside = self._aside, True
        try:
            yield
        finally:
            self._aside = before

    def book(self, into: dict[int, float], amount: Amount | float) -> None:
        """Add ``amount`` to the sum of the sample whose backward runs, or to each its share."""
        if self._aside:
            return
        if self.sample is not None:
            into[self.sample] += float(amount)
            return
        each = amount.each(self.samples) if isinstance(amount, Amount) else None
        if each is None:
            self.mixed = True
            return
        for i, share in enumerate(each):
            into[i] += share

    def book_positions(self, path: str, shares: Tensor) -> None:
        """Add ``shares`` [(batch,) tokens, width] token by token; a bias of scores has none."""
        if shares.dim() not in (2, 3) or self._aside:
            return
        found = shares.sum(-1).cpu()
        rows: dict[int, Tensor] = {}
        if self.sample is None:
            if found.dim() == 1 or len(found) != self.samples:
                self.mixed = True
                return
            rows.update(enumerate(found))
        elif found.dim() == 1:
            rows[self.sample] = found
        else:
            rows[self.sample] = found[self.sample if len(found) > 1 else 0]
        into = self.positions.setdefault((path, found.shape[-1]), {})
        for sample, row in rows.items():
            into[sample] = into[sample] + row if sample in into else row
