"""What is evaluated: a model and its samples, cut into units that can be removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..targets import indices_of


@dataclass(frozen=True)
class Row:
    """One sample as it was given.

    Attributes:
        id: a name that is unique in its data set.
        content: a text, a pair of texts, or an image in any form that can be opened.
        label: the index of its true class, if it is known.
        mask: what people marked: the units' indices or a 0/1 per unit (text), a mask of pixels
            [height, width] of the original image, or one number a patch.
    """

    id: str
    content: Any
    label: int | None = None
    mask: Any = None


@dataclass
class Batch:
    """Samples ready for the model; the target is fixed on the clean input.

    Attributes:
        rows: the samples.
        inputs: the model's arguments, [B, ...] each, padded on the right.
        units: how many removable units each sample has.
        targets: [B] long, the class whose score is watched.
        score: [B] float64, its logit on the clean input.
        probability: [B] float64, its probability; NaN for heads that define none.
        predicted: [B] long.
        member: [B, positions] long: the unit of each token or image cell; -1 is never removed.
        lengths: [B] long, how many positions are real (the others are padding).
        floors: logits [B, C] with every unit removed, by operator; filled when first needed.
        details: what the task wants to remember of the samples (its encodings).
    """

    rows: list[Row]
    inputs: dict[str, Tensor]
    units: list[int]
    targets: Tensor
    score: Tensor
    probability: Tensor
    predicted: Tensor
    member: Tensor
    lengths: Tensor
    floors: dict[str, Tensor] = field(default_factory=dict)
    details: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, index: Sequence[int]) -> Batch:
        """The samples at ``index``."""
        at = torch.tensor(list(index), dtype=torch.long, device=self.member.device)
        rows = at.tolist()
        return Batch(
            [self.rows[i] for i in rows],
            take(self, at),
            [self.units[i] for i in rows],
            self.targets[at],
            self.score[at],
            self.probability[at],
            self.predicted[at],
            self.member[at],
            self.lengths[at],
            {name: floor[at] for name, floor in self.floors.items()},
            [self.details[i] for i in rows] if self.details else [],
        )


@runtime_checkable
class Operator(Protocol):
    """A way to remove units from an input, always named in a result."""

    name: str
    equal: bool
    """Whether only rows with equally many positions left may share a forward."""

    def lengths(self, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        """[n]: how many positions the model reads of each row, for grouping."""
        ...

    def logits(self, task: Task, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        """[n, C]: the outputs for rows ``samples`` [n] of ``batch`` without the positions that are
        True in ``gone`` [n, positions]."""
        ...


@runtime_checkable
class Task(Protocol):
    """A model, how it is fed, and what may be removed from its inputs."""

    kind: str
    """``"text"`` or ``"image"``."""
    name: str
    labels: list[str]
    model: nn.Module
    operators: dict[str, Operator]
    """Those that this model supports, the two of a default report first."""
    refused: dict[str, str]
    """Operators that it does not support, with the reason."""
    chunk: int
    """A good number of positions in one forward."""
    tokens: bool
    """Whether the positions of ``member`` are the model's own tokens."""
    prefix: int
    """Tokens in front of those that ``member`` lists: CLS and registers of images, 0 for texts."""
    pads: bool
    """Whether samples of different lengths may share a forward."""

    def prepare(self, rows: Sequence[Row], target: Any = None) -> Batch:
        """The samples as a batch; ``target``: a class for all of them, None: the predicted one.

        Raises:
            InputError: a sample cannot be read; its message names the sample.
        """
        ...

    def logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """[B, C] of the model's arguments; gradients as the caller has them."""
        ...

    def probabilities(self, logits: Tensor) -> Tensor:
        """[B, C] in float64; NaN where the head defines none."""
        ...

    def call(self, inputs: Mapping[str, Tensor]) -> Any:
        """The inputs as :func:`lxt.attribute` takes them."""
        ...

    def pool(self, batch: Batch, relevance: Tensor) -> list[Tensor]:
        """Per sample the sum over each unit, float32 [units], of relevance in the input's shape
        ([B, tokens], [B, channels, H, W])."""
        ...

    def probe(self) -> Batch:
        """One plain sample, to find out what the model can do."""
        ...

    def fingerprint(self) -> str:
        """Of weights, labels and preprocessing (a ``tokenizer`` is told apart, see
        :mod:`.identity`): equal for equal results."""
        ...

    def with_model(self, model: nn.Module) -> Task:
        """The same task with other weights."""
        ...


def take(batch: Batch, index: Tensor) -> dict[str, Tensor]:
    """The inputs of the samples ``index`` [n], which may repeat."""
    return {name: value[index.to(value.device)] for name, value in batch.inputs.items()}


def settle(batch: Batch, task: Task, logits: Tensor, target: Any) -> Batch:
    """``batch`` with its target, score and probability, from the clean ``logits`` [B, C].

    Raises:
        TargetError: the model has no such class.
    """
    names = dict(enumerate(task.labels))
    targets = indices_of(target, logits, names)
    score = logits.double().gather(1, targets[:, None])[:, 0]
    probability = task.probabilities(logits).gather(1, targets[:, None])[:, 0]
    return replace(
        batch,
        targets=targets,
        score=score,
        probability=probability,
        predicted=logits.argmax(-1),
    )


def pool_by(member: Tensor, values: Tensor, units: Sequence[int]) -> list[Tensor]:
    """Sums of ``values`` [B, positions] by the units of ``member``: per sample float32 [units]."""
    values = values.detach().double()
    most = max(units, default=0)
    totals = values.new_zeros(len(values), most + 1)
    # what is never removed goes to a last column that nobody reads
    totals.scatter_add_(1, member.where(member >= 0, most), values)
    return [totals[i, :n].float().cpu() for i, n in enumerate(units)]
