"""What an explanation is made of: plain, immutable, comparable data without model or torch.

Relevances are raw (the units of the score, usually a logit); normalisation belongs to
the renderers.  The account closes as

    score = sum(token relevances) + sum(entries) + gap,      gap = 0 up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Token:
    """One token as the model saw it.

    ``start`` and ``end`` are character offsets into the raw text of its ``segment`` (0: the
    text, 1: its pair); None for tokens that stand for no text (special tokens).
    ``word`` is the index into ``words``, or None.
    """

    text: str
    id: int
    relevance: float
    start: int | None = None
    end: int | None = None
    word: int | None = None
    segment: int = 0
    special: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the raw text: ``texts[segment][start:end] == text``; the sum of its tokens."""

    text: str
    start: int
    end: int
    relevance: float
    segment: int = 0


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """What was explained: ``score`` in the model's units, ``probability`` if the head defines one.

    ``index`` is the class index; None for targets that are no single class (a contrast).
    """

    label: str
    index: int | None
    score: float
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """The ledger of one sample, as plain numbers (see :mod:`lxt_like.ledger` for the causes)."""

    score: float
    inputs: float
    entries: Mapping[str, float] = field(default_factory=dict)
    unruled: float = 0.0
    gap: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", MappingProxyType(dict(self.entries)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Account):
            return NotImplemented
        return (self.score, self.inputs, dict(self.entries), self.unruled, self.gap) == (
            other.score,
            other.inputs,
            dict(other.entries),
            other.unruled,
            other.gap,
        )

    def __reduce__(self) -> tuple[type[Account], tuple[object, ...]]:
        # a mapping proxy cannot be pickled or copied
        return Account, (self.score, self.inputs, dict(self.entries), self.unruled, self.gap)

    def __hash__(self) -> int:
        return hash((self.score, self.inputs, tuple(sorted(self.entries.items()))))


@dataclass(frozen=True, slots=True)
class TextData:
    """One explained text.

    ``texts`` holds the raw text, or the raw text and its pair.  ``words`` and ``tokens`` are
    in reading order.  ``notes`` are sentences the reader must see (truncation, no words...).
    """

    texts: tuple[str, ...]
    target: TargetInfo
    words: tuple[Word, ...]
    tokens: tuple[Token, ...]
    account: Account | None = None
    model: str = ""
    composite: str = ""
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return self.texts[0]

    @property
    def special(self) -> float:
        """Relevance of the tokens that belong to no word (special tokens)."""
        return float(sum(t.relevance for t in self.tokens if t.word is None))


@dataclass(frozen=True, slots=True, eq=False)
class LayerMap:
    """Relevance at one hidden layer's output, by place in the image.

    ``patches`` [rows, cols] float32; ``special``: what the tokens that stand for no place (CLS,
    registers) hold there; ``total`` = patches.sum() + special.
    """

    name: str
    patches: Array
    special: float = 0.0

    @property
    def total(self) -> float:
        return float(self.patches.sum(dtype=np.float64)) + self.special


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two classes of a contrast: its score and relevance [H, W] by itself."""

    label: str
    score: float
    relevance: Array


@dataclass(frozen=True, slots=True, eq=False)
class ImageData:
    """One explained image.

    Attributes:
        pixels: [H, W, 3] uint8 RGB, what the model saw (resized and cropped, not the file).
        channels: [3, H, W] float32, relevance of each colour of each pixel, in the units of the
            score; in the model's order of channels.
        cell: (height, width) of a patch in pixels; ``grid``: rows and columns of patches.
        target: what was explained; ``top``: the likeliest classes, likeliest first.
        account: the ledger, if it was kept.
        layers: relevance at hidden layers, in the order they run.
        sides: for a contrast the map of either class; their difference is ``channels``.
        name: of the file, or empty.
        notes: sentences the reader must see.
    """

    pixels: Array
    channels: Array
    cell: tuple[int, int]
    grid: tuple[int, int]
    target: TargetInfo
    top: tuple[TargetInfo, ...] = ()
    account: Account | None = None
    layers: tuple[LayerMap, ...] = ()
    sides: tuple[Side, ...] = ()
    name: str = ""
    model: str = ""
    composite: str = ""
    notes: tuple[str, ...] = ()

    @property
    def relevance(self) -> Array:
        """[H, W] float32: signed, channels summed."""
        summed: Array = self.channels.sum(0, dtype=np.float64).astype(np.float32)
        return summed

    @property
    def patches(self) -> Array:
        """[rows, cols] float32: the pixels of each patch summed."""
        return cells_of(self.relevance, self.cell, self.grid)


def cells_of(values: Array, cell: tuple[int, int], grid: tuple[int, int]) -> Array:
    """Of ``values`` [H, W] the sum in each cell; the last row and column take what is left over."""
    rows, cols = grid
    down = np.arange(0, rows) * cell[0]
    right = np.arange(0, cols) * cell[1]
    by_row = np.add.reduceat(values.astype(np.float64), down, axis=0)
    return np.add.reduceat(by_row, right, axis=1).astype(np.float32)


Explained = TextData | ImageData
"""Whatever can be rendered."""
