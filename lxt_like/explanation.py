"""What an explanation is made of: plain, immutable, comparable data without model or torch.

Relevances are raw (the units of the score, usually a logit); normalisation belongs to
the renderers.  The account closes as

    score = sum(token relevances) + sum(entries) + gap,      gap = 0 up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
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


def total_account(accounts: Sequence[Account], by: int = 1) -> Account:
    """The account of the sum of several scores, divided ``by`` a number: it closes as they do."""
    causes = dict.fromkeys(cause for account in accounts for cause in account.entries)
    return Account(
        fsum(a.score for a in accounts) / by,
        fsum(a.inputs for a in accounts) / by,
        {cause: fsum(a.entries.get(cause, 0.0) for a in accounts) / by for cause in causes},
        fsum(a.unruled for a in accounts) / by,
        fsum(a.gap for a in accounts) / by,
    )


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


@dataclass(frozen=True, slots=True)
class GenerationData:
    """A text that a model wrote (or was made to write), explained token by token.

    Attributes:
        total: the whole output, with the ``texts`` (prompt, output): every number in it is the sum
            of the steps' numbers, its probability the product of theirs.
        steps: one explanation for each output token, in order; its texts are the prompt and, from
            the second step on, what was written before the token.
        tokens: the text of each output token, the space before it included; of half a character
            its bytes.
    """

    total: TextData
    steps: tuple[TextData, ...]
    tokens: tuple[str, ...]

    @property
    def prompt(self) -> str:
        return self.total.texts[0]

    @property
    def output(self) -> str:
        return self.total.texts[1]

    @property
    def written(self) -> tuple[Token, ...]:
        """The output's tokens as the model knows them, each with its place in ``output``.

        Their relevance is what they did for all tokens behind them.
        """
        return written_tokens(self.total)

    @property
    def words(self) -> tuple[Word, ...]:
        """The prompt's words; their relevance is what they did for the whole output."""
        return tuple(word for word in self.total.words if word.segment == 0)

    @property
    def relevance(self) -> Array:
        """Who made which token: float64 [output tokens, prompt words + output tokens].

        Row t is the account of output token t: what each of the prompt's :attr:`words` did for
        it, then what each output token did.  A token is not yet written for the tokens before it
        and for itself: these places, the triangle from the diagonal on, are 0.  A row's sum, what
        special tokens and white space of the prompt hold (:attr:`special`) and the entries of
        ``steps[t].account`` make up ``scores[t]``.
        """
        words = len(self.words)
        made = np.zeros((len(self.steps), words + len(self.tokens)))
        for row, step in zip(made, self.steps, strict=True):
            row[:words] = [word.relevance for word in step.words if word.segment == 0]
            before = [token.relevance for token in written_tokens(step)]
            row[words : words + len(before)] = before
        return made

    @property
    def special(self) -> Array:
        """What the prompt's tokens of no word did for each output token: float64 [tokens]."""
        held = [
            fsum(t.relevance for t in step.tokens if t.word is None and not _is_written(t))
            for step in self.steps
        ]
        return np.array(held, dtype=np.float64)

    @property
    def scores(self) -> Array:
        """The logit of each output token: float64 [tokens]."""
        return np.array([step.target.score for step in self.steps], dtype=np.float64)

    @property
    def probabilities(self) -> Array:
        """The probability of each output token after those before it: float64 [tokens]."""
        found = [step.target.probability for step in self.steps]
        return np.array([np.nan if p is None else p for p in found], dtype=np.float64)

    @property
    def account(self) -> Account | None:
        """The ledger of the whole output: the sum of the steps' ledgers."""
        return self.total.account

    @property
    def target(self) -> TargetInfo:
        return self.total.target

    @property
    def model(self) -> str:
        return self.total.model

    @property
    def composite(self) -> str:
        return self.total.composite

    @property
    def notes(self) -> tuple[str, ...]:
        return self.total.notes


def written_tokens(data: TextData) -> tuple[Token, ...]:
    """The tokens of an output in an explanation of it, or of a step of it."""
    return tuple(filter(_is_written, data.tokens))


def _is_written(token: Token) -> bool:
    return token.segment == 1 and not token.special


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


Explained = TextData | GenerationData | ImageData
"""Whatever can be rendered."""
