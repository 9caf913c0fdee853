"""Targets at one token of the sequence: what tags, fillings and next tokens have in common."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from torch import Tensor

from ...errors import InputError, ModelError, TargetError
from ...outputs import at_positions, sequence_logits
from ...targets import (
    Contrast,
    Logit,
    LogOdds,
    LogProb,
    Names,
    Resolved,
    Score,
    Target,
    as_target,
    one,
)
from ..heads import probability
from ..rows import Found, Row
from ..vocabulary import Vocabulary
from .base import Task


@dataclass(frozen=True)
class Ask:
    """What is asked of one row: ``inner`` at position ``at`` of the row.

    ``what`` follows the label, ``notes`` are sentences for the reader.
    """

    at: int
    inner: Target
    what: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spot(Target):
    """``inner`` on the logits at one position per row; ``names`` of the outputs there."""

    at: tuple[int, ...]
    inner: Target
    names: Names | None
    what: tuple[str, ...]
    notes: tuple[tuple[str, ...], ...]

    def read(self, output: Any, inputs: Mapping[str, Any]) -> Tensor:
        return at_positions(token_logits(output, inputs), self.at)

    def resolve(self, logits: Tensor, names: Names) -> Resolved:
        return self.inner.resolve(logits, names if self.names is None else self.names)


class SpotTask(Task):
    """A task whose target is a class (or token) at one position of each row."""

    names: Names | None = None

    @abstractmethod
    def ask(self, row: Row, given: Any) -> Any:
        """What the target ``given`` asks of one row."""

    def asks(self, target: Any, rows: Sequence[Row], total: int) -> list[Any]:
        return [self.ask(row, one(target, row.item, total, "text")) for row in rows]

    def target(self, asks: Sequence[Any]) -> Any:
        return Spot(
            tuple(a.at for a in asks),
            merged([a.inner for a in asks]),
            self.names,
            tuple(a.what for a in asks),
            tuple(a.notes for a in asks),
        )

    def found(
        self, a: Any, target: Any, inputs: Mapping[str, Tensor], rows: Sequence[Row]
    ) -> list[Found]:
        logits = target.read(a.output, inputs).detach().cpu()
        made = []
        for k in range(len(rows)):
            label, index = a.target.describe(k)
            chance = probability(logits[k], index, "classes")
            made.append(Found(label + target.what[k], index, logits[k], chance, target.notes[k]))
        return made


def token_logits(output: Any, inputs: Mapping[str, Any]) -> Tensor:
    """The logits [rows, tokens, outputs]: one place for every token of the input.

    Raises:
        ModelError: the model gives logits for more or fewer places than there are tokens.
    """
    logits = sequence_logits(output)
    ids = inputs.get("decoder_input_ids", inputs.get("input_ids"))
    if isinstance(ids, Tensor) and ids.shape != logits.shape[:2]:
        raise ModelError(
            f"expected logits for each of the tokens, {list(ids.shape)}, got "
            f"{list(logits.shape[:2])}: the model adds or drops tokens; use lxt.attribute"
        )
    return logits


def simple(given: Any, task: str) -> Logit | Contrast | LogProb | LogOdds | Score:
    """A target on the outputs at one place.

    Raises:
        TargetError: it is one of another kind of model.
    """
    made = as_target(given)
    if not isinstance(made, Logit | Contrast | LogProb | LogOdds | Score):
        raise TargetError(
            f"expected a target that {task} has (an output's name or index, Logit, LogProb, "
            f"LogOdds, Contrast or a function of the logits), got {type(made).__name__}"
        )
    return made


def merged(targets: Sequence[Target]) -> Target:
    """One target for several rows, which must have targets of one kind.

    Raises:
        InputError: they are of different kinds.
    """
    first, *rest = targets
    if all(other == first for other in rest):
        return first
    kinds = {type(t) for t in targets}
    if len(kinds) > 1 or isinstance(first, Score):
        raise InputError(
            "expected one kind of target for all texts, got "
            f"{', '.join(sorted(k.__name__ for k in kinds))}: explain them one by one"
        )
    made: dict[str, Any] = {}
    for field in dataclasses.fields(first):  # type: ignore[arg-type]
        values = [getattr(t, field.name) for t in targets]
        alike = all(value == values[0] for value in values)  # perhaps None, the predicted class
        made[field.name] = values[0] if alike else values
    return type(first)(**made)


def with_ids(
    given: Any, vocabulary: Vocabulary, spaced: bool, task: str
) -> tuple[Target, tuple[str, ...]]:
    """A target whose tokens are ids, and what must be said of how they were read.

    Args:
        given: as a user gives it, its tokens as text or ids.
        vocabulary: where to find them.
        spaced: whether a word stands for its token with a space before it, if there is one.
        task: what kind of model this is, for messages.
    """
    made = simple(given, task)
    if isinstance(made, Score):
        return made, ()
    notes = []
    ids: dict[str, Any] = {}
    for name in ("c", "foil"):
        token = getattr(made, name, None)
        if isinstance(token, str):
            ids[name], note = vocabulary.find(token, spaced)
            notes += [note] if note else []
        elif isinstance(token, Integral) and not isinstance(token, bool) and token < 0:
            raise TargetError(
                f"expected a token's id from 0 to {len(vocabulary) - 1}, or its text, got {token}"
            )
    return dataclasses.replace(made, **ids), tuple(notes)
