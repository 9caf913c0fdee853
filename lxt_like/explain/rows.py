"""Rows: what the model reads at once, and what came out for each."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..explanation import Account
from .encode import Encoding


@dataclass(frozen=True, slots=True)
class Row:
    """What the model reads at once: some tokens (``positions``) of the text ``item``.

    The decoder's tokens of an encoder-decoder stand behind those of its source.
    """

    item: int
    encoding: Encoding
    positions: list[int]

    @property
    def source(self) -> list[int]:
        """Positions of what goes into ``input_ids``."""
        split = self.encoding.decoder
        return self.positions if split is None else [p for p in self.positions if p < split]

    @property
    def prefix(self) -> list[int]:
        """Positions of what goes into ``decoder_input_ids``; none for other models."""
        split = self.encoding.decoder
        return [] if split is None else [p for p in self.positions if p >= split]

    @property
    def shape(self) -> tuple[int, int]:
        """How many tokens the encoder and the decoder read."""
        prefix = len(self.prefix)
        return len(self.positions) - prefix, prefix


@dataclass(frozen=True, slots=True)
class Found:
    """What a task makes of one row's outputs: what was explained, in words.

    ``logits`` [outputs] are those that the target chose among; ``notes`` what must be said.
    """

    label: str
    index: int | None
    logits: Tensor
    probability: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row explained: ``relevance`` per position of the row."""

    relevance: list[float]
    score: float
    found: Found
    account: Account | None
