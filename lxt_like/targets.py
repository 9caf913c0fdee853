"""Targets: which number of the model's output is explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .classes import Index, kind_of, label_of, plain
from .classes import Names as Names
from .classes import class_names as class_names
from .classes import indices_of as indices_of
from .errors import InputError, SampleTargetError, TargetError
from .intercept.graph import claim
from .outputs import at_positions, logits_of, sequence_logits


@dataclass(frozen=True)
class Resolved:
    """A target on one output: ``score`` [batch] (differentiable), class ``indices`` [batch] or
    None, ``labels`` for people, and ``entries`` [batch] that the target itself keeps.
    """

    score: Tensor
    indices: Tensor | None
    labels: tuple[str, ...]
    entries: Mapping[str, Tensor] = field(default_factory=dict)

    def describe(self, i: int) -> tuple[str, int | None]:
        """The label and the class index of sample ``i``."""
        return self.labels[i], None if self.indices is None else int(self.indices[i])


class Target:
    """Base of all targets.

    A subclass is a dataclass; lists, arrays and tensors in its fields have one entry per sample
    (see :func:`select`), and None in ``c`` or ``foil`` is the predicted class.
    """

    def read(self, output: Any, inputs: Mapping[str, Any]) -> Any:
        """What :meth:`resolve` is given of a model's output: its logits."""
        return logits_of(output, inputs)

    def resolve(self, logits: Tensor, names: Names) -> Resolved:
        """The score [batch] of ``logits`` [batch, classes]; ``names``: index -> class name."""
        raise InputError(f"{type(self).__name__} does not define a score")

    def fixed(self, predict: Callable[[], Sequence[int]]) -> Target:
        """The same with the classes that ``predict`` gives, one per sample, for each None."""
        changed: dict[str, Any] = {}
        for name, value in _parts(self).items():
            if value is None and name in ("c", "foil"):
                changed[name] = list(predict())
            elif isinstance(value, Target) and (made := value.fixed(predict)) is not value:
                changed[name] = made
        return replace(self, **changed) if changed else self  # type: ignore[type-var]


def _pick(logits: Tensor, at: Tensor) -> Tensor:
    return logits.gather(-1, at[:, None]).squeeze(-1)


@dataclass(frozen=True)
class Logit(Target):
    """The logit of class ``c``: an index, a class name, one per sample, or None: the predicted."""

    c: Index | None = None

    def resolve(self, logits: Tensor, names: Names) -> Resolved:
        at = indices_of(self.c, logits, names)
        return Resolved(_pick(logits, at), at, tuple(label_of(i, names) for i in at.tolist()))


@dataclass(frozen=True)
class Contrast(Target):
    """Why ``c`` rather than ``foil``: the difference of their logits."""

    c: Index | None
    foil: Index

    def resolve(self, logits: Tensor, names: Names) -> Resolved:
        at, foil = indices_of(self.c, logits, names), indices_of(self.foil, logits, names)
        if bool((at == foil).any()):
            same = label_of(int(at[at == foil][0]), names)
            if self.c is None:
                raise SampleTargetError(
                    f"the prediction is the foil {same!r} itself, so nothing sets them apart: "
                    "name a target or another foil"
                )
            own = self.foil is None or per_sample(self.c) or per_sample(self.foil)
            said = f"a contrast needs two classes, got {same!r} as target and as foil"
            if own:
                raise SampleTargetError(f"{said} of a sample: name a target or another foil")
            raise TargetError(said)
        labels = tuple(
            f"{label_of(a, names)} rather than {label_of(b, names)}"
            for a, b in zip(at.tolist(), foil.tolist(), strict=True)
        )
        return Resolved(_pick(logits, at) - _pick(logits, foil), None, labels)


@dataclass(frozen=True)
class LogProb(Target):
    """log p of class ``c``: log softmax, of a multi-label head log sigmoid.

    What the softmax or sigmoid keeps (minus its entropy) is declared.
    """

    c: Index | None = None

    def resolve(self, logits: Tensor, names: Names) -> Resolved:
        _require_probability(logits, names, "log-probability")
        at = indices_of(self.c, logits, names)
        labels = tuple(f"log p({label_of(i, names)})" for i in at.tolist())
        if kind_of(names) == "labels":  # each class against its absence: a softmax of z and 0
            z = _pick(logits, at)
            score = torch.nn.functional.logsigmoid(z)
            claim(score, (logits,))
            both = torch.stack([z, torch.zeros_like(z)], -1).detach().double()
            return Resolved(score, at, labels, {"softmax": _absorbed(torch.log_softmax(both, -1))})
        log_p = torch.log_softmax(logits, -1)
        claim(log_p, (logits,))
        return Resolved(
            _pick(log_p, at), at, labels, {"softmax": _absorbed(log_p.detach().double())}
        )


@dataclass(frozen=True)
class LogOdds(Target):
    """log p / (1 - p) of class ``c``: its logit minus the logsumexp of all others.

    What the others' softmax q keeps, sum_j q_j log q_j, is declared; with two classes that is 0
    and the target is their contrast.  Of a multi-label head it is the logit itself.
    """

    c: Index | None = None

    def resolve(self, logits: Tensor, names: Names) -> Resolved:
        _require_probability(logits, names, "log-odds")
        at = indices_of(self.c, logits, names)
        labels = tuple(f"log odds of {label_of(i, names)}" for i in at.tolist())
        if kind_of(names) == "labels":
            return Resolved(_pick(logits, at), at, labels)
        chosen = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, at[:, None], True)
        others = logits.masked_fill(chosen, float("-inf"))
        score = _pick(logits, at) - torch.logsumexp(others, -1)
        claim(score, (logits,))
        kept = _absorbed(torch.log_softmax(others.detach().double(), -1))
        return Resolved(score, at, labels, {"softmax": kept})


def _absorbed(log_p: Tensor) -> Tensor:
    """sum_j p_j log p_j, what a softmax p does not pass on to its logits."""
    return torch.where(log_p.exp() == 0, 0.0, log_p.exp() * log_p).sum(-1)


def _require_probability(logits: Tensor, names: Names, what: str) -> None:
    kind = kind_of(names)
    if kind == "values":
        raise TargetError(
            f"expected a target that a regression head has, got its {what}: its outputs are "
            "values without a probability; explain one by its name or index"
        )
    if kind == "classes" and logits.shape[-1] < 2:
        raise TargetError(
            f"expected two classes or more for a target of {what}, got a model with one output, "
            "whose softmax is constant: explain the output itself"
        )


@dataclass(frozen=True)
class Score(Target):
    """Any function of the logits [batch, classes] that returns a score [batch].

    The ledger closes for functions that are linear in the logits.
    """

    function: Callable[[Tensor], Tensor]
    label: str = "score"

    def resolve(self, logits: Tensor, names: Names) -> Resolved:
        score = self.function(logits)
        if not isinstance(score, Tensor) or score.shape != logits.shape[:1]:
            got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
            raise TargetError(
                f"a target function returns a tensor of shape [batch] = [{logits.shape[0]}], "
                f"got {got}"
            )
        return Resolved(score, None, (self.label,) * len(score))


@dataclass(frozen=True)
class Output(Target):
    """Any function of the model's whole output that returns a score [batch].

    For models without class logits: a segmentation map's region, a hidden state's direction.
    """

    function: Callable[[Any], Tensor]
    label: str = "score"

    def read(self, output: Any, inputs: Mapping[str, Any]) -> Any:
        return output

    def resolve(self, logits: Any, names: Names) -> Resolved:
        score = self.function(logits)
        if not isinstance(score, Tensor) or score.dim() != 1:
            got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
            raise TargetError(f"a target function returns a tensor of shape [batch], got {got}")
        return Resolved(score, None, (self.label,) * len(score))


@dataclass(frozen=True)
class Token(Target):
    """A target on the logits of one token, of models that give each token its own.

    Args:
        at: the token's position in the sequence (special tokens count, negative from the end), or
            one per sample.  For ``lxt.explain`` also a word or phrase of the text: its first
            token; and None: the token where ``c`` is most certain.
        c: what is explained there: a class (tag, token) by index or name, None: the predicted, or
            a target such as ``Contrast("B-PER", "O")``.
        occurrence: which one, from 0, if ``at`` is a word that the text holds several times.
    """

    at: int | str | Sequence[int] | None
    c: Any = None
    occurrence: int | None = None

    def read(self, output: Any, inputs: Mapping[str, Any]) -> Tensor:
        at = self.at
        if at is None or isinstance(at, str):
            raise TargetError(
                f"expected a token's position, got {at!r}: lxt.explain knows words, here the text "
                "is not known"
            )
        return at_positions(sequence_logits(output), at)

    def resolve(self, logits: Tensor, names: Names) -> Resolved:
        return as_target(self.c).resolve(logits, names)


@dataclass(frozen=True)
class Answer(Target):
    """The answer of an extractive question answering model: start logit + end logit.

    Args:
        text: the answer as it stands in the context, its likeliest occurrence is meant; None: the
            predicted one.
        part: ``"start"`` or ``"end"``: that logit alone; ``"both"``: their sum.
    """

    text: str | None = None
    part: str = "both"

    def __post_init__(self) -> None:
        if self.part not in ("both", "start", "end"):
            raise TargetError(f"expected part to be 'both', 'start' or 'end', got {self.part!r}")

    def read(self, output: Any, inputs: Mapping[str, Any]) -> Any:
        raise TargetError(
            "an answer is found by lxt.explain, which knows the context; here take "
            "lxt.targets.Output(f), a function of start_logits and end_logits"
        )


def resolved(target: Target, model: Any, output: Any, inputs: Mapping[str, Any]) -> Resolved:
    """A target on a model's output, with the model's own class names."""
    logits = target.read(output, inputs)
    sized = isinstance(logits, Tensor) and logits.dim() > 0
    return target.resolve(logits, class_names(model, logits.shape[-1] if sized else None))


def select(target: Any, rows: Sequence[int], total: int, noun: str = "sample") -> Any:
    """The part of a target that belongs to some of the samples.

    Args:
        target: as for :func:`lxt_like.attribute`; tensors and lists in it have one entry per
            sample.
        rows: the samples, in any order; one that comes again is repeated.
        total: how many samples the target was made for.
        noun: what a sample is called.

    Raises:
        TargetError: a tensor or list in the target has another number of entries.
    """
    target = plain(target)
    if isinstance(target, Tensor) and not target.ndim:
        return target.item()
    if per_sample(target):
        if len(target) != total:
            which = f"the {noun}" if total == 1 else f"each of the {total} {noun}s"
            raise TargetError(f"expected one target for {which}, got {len(target)} entries")
        return target[list(rows)] if isinstance(target, Tensor) else [target[i] for i in rows]
    values = _parts(target)
    parts = {name: select(value, rows, total, noun) for name, value in values.items()}
    changed = {name: part for name, part in parts.items() if part is not values[name]}
    return replace(target, **changed) if changed else target


def per_sample(given: Any) -> bool:
    """Whether a target has one entry per sample."""
    given = plain(given)
    if isinstance(given, Tensor):
        return given.ndim > 0
    return isinstance(given, Sequence) and not isinstance(given, str | bytes)


def one(target: Any, row: int, total: int, noun: str = "sample") -> Any:
    """The target of one sample, for any number of rows: its own entry where there is one each."""
    return _single(target, select(target, [row], total, noun))


def _single(given: Any, part: Any) -> Any:
    if isinstance(part, Tensor):
        return part[0].tolist()
    if part is given:
        return part
    if isinstance(part, list):
        return part[0]
    made = {name: _single(getattr(given, name), value) for name, value in _parts(part).items()}
    return replace(part, **made) if made else part


def _parts(target: Any) -> dict[str, Any]:
    """What a dataclass is made of."""
    if not is_dataclass(target) or isinstance(target, type):
        return {}
    return {f.name: getattr(target, f.name) for f in fields(target) if f.init}


def as_target(given: Any) -> Target:
    """A target from what a user gave: a Target, an index, a name, a tensor, a function, None."""
    given = plain(given)
    if isinstance(given, Target):
        return given
    if callable(given):
        return Score(given)
    return Logit(given)
