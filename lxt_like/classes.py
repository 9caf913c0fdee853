"""The classes of a head: what they are called, which one is meant, what their numbers mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .errors import TargetError

Index = int | str | Tensor | Sequence[Any]
Names = Mapping[int, str]

Kind = Literal["classes", "labels", "values"]
"""``classes`` exclude each other (softmax), ``labels`` do not (sigmoid), ``values`` are numbers
without a probability (regression)."""


class Classes(dict[int, str]):
    """Names of a head's outputs by their index, and what kind of outputs they are."""

    def __init__(
        self, names: Mapping[int, str] | Iterable[tuple[int, str]], kind: Kind = "classes"
    ) -> None:
        super().__init__(names)
        self.kind: Kind = kind


class Called:
    """Finds a head's outputs by what they are called; one rule for targets and for labels of data.

    A name as it is written wins over one that differs in case, blanks, underscores or hyphens
    between letters ("Sea_Lion", "sea lion"), and that over a synonym, in a class that is a list
    of them ("tabby, tabby cat"), which no other class has.
    """

    def __init__(self, names: Names) -> None:
        exact: dict[str, list[int]] = {}
        loose: dict[str, list[int]] = {}
        synonyms: dict[str, list[int]] = {}
        for i, name in names.items():
            exact.setdefault(name, []).append(i)
            loose.setdefault(_folded(name), []).append(i)
            for part in {_folded(part) for part in name.split(",")}:
                synonyms.setdefault(part, []).append(i)
        self._exact, self._loose = exact, loose
        self._synonyms = {part: at for part, at in synonyms.items() if part and len(at) == 1}

    def find(self, given: str) -> list[int]:
        """The outputs that are called so: none, one, or several that nothing sets apart."""
        folded = _folded(given)
        return self._exact.get(given) or self._loose.get(folded) or self._synonyms.get(folded) or []


def _folded(name: str) -> str:
    """A hyphen elsewhere than between letters and digits may be a minus, and stays."""
    return " ".join(re.sub(r"(?<=[^\W_])-(?=\w)|_", " ", name).split()).casefold()


def class_names(model: Any, outputs: int | None = None) -> Classes:
    """``config.id2label`` of a transformers classifier, none of other models; with the kind that
    ``config.problem_type`` says they are.

    ``outputs``: how many the head has.  Another number of names is not of them: every
    configuration has two, a language model's too.
    """
    config = getattr(model, "config", None)
    names = getattr(config, "id2label", None)
    known = {int(k): str(v) for k, v in names.items()} if isinstance(names, Mapping) else {}
    if outputs is not None and len(known) != outputs:
        known = {}
    return Classes(known, said_kind(config) or "classes")


def said_kind(config: Any) -> Kind | None:
    """What ``problem_type`` of a configuration says; None if nothing."""
    kinds: dict[Any, Kind] = {
        "multi_label_classification": "labels",
        "single_label_classification": "classes",
        "regression": "values",
    }
    problem = getattr(config, "problem_type", None)
    return kinds.get(problem) if isinstance(problem, str) else None


def kind_of(names: Names) -> Kind:
    """What the outputs with these names are; names that do not say so are of classes."""
    return names.kind if isinstance(names, Classes) else "classes"


def plain(given: Any) -> Any:
    """A target from an array as one of Python's: a list with one entry per sample, or a value."""
    return given.tolist() if isinstance(given, np.ndarray) else given


def indices_of(given: Index | None, logits: Tensor, names: Names) -> Tensor:
    """Class indices [batch] for an index, a name, one per sample, or None (the predicted class).

    Raises:
        TargetError: for an unknown class; the message lists the known ones.
    """
    batch, classes = logits.shape
    given = plain(given)
    if given is None:
        return logits.detach().argmax(-1)
    if isinstance(given, Tensor):
        if given.is_floating_point() or given.dtype == torch.bool or given.dim() > 1:
            raise TargetError(
                f"a target tensor holds one class index per sample, got {given.dtype} "
                f"of shape {tuple(given.shape)}"
            )
        given = given.tolist()
    if isinstance(given, Sequence) and not isinstance(given, str):
        if len(given) != batch:
            raise TargetError(f"got {len(given)} targets for a batch of {batch}")
        # not where in the list: this may be a part of what the caller gave
        if other := [g for g in given if not isinstance(g, Integral | str)]:
            raise TargetError(
                "a list of targets holds a class index or name for each sample, got "
                f"{type(other[0]).__name__}: {other[0]!r}; explain samples with other targets one "
                "by one"
            )
        values = [_index(g, classes, names) for g in given]
    else:
        values = [_index(given, classes, names)] * batch
    return torch.tensor(values, device=logits.device)


def _index(given: Any, classes: int, names: Names) -> int:
    if isinstance(given, bool) or not isinstance(given, (Integral, str)):
        raise TargetError(
            f"a target is a class index or name, got {type(given).__name__}: {given!r}"
        )
    if not isinstance(given, str):
        at = int(given)
        if not -classes <= at < classes:
            if getattr(names, "of_tokens", False):
                raise TargetError(
                    f"token id {at} is out of range: the model's vocabulary has {classes} tokens"
                )
            has = "1 class" if classes == 1 else f"{classes} classes"
            raise TargetError(f"class index {at} is out of range: the model has {has}")
        return at % classes
    found = Called(names).find(given)
    if len(found) > 1:
        which = f"{', '.join(map(str, found[:-1]))} and {found[-1]}"
        raise TargetError(
            f"the class {given!r} is ambiguous: outputs {which} are called so; give the index"
        )
    if not found:
        known = ", ".join(repr(n) for n in list(names.values())[:20]) or "none: give an index"
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        raise TargetError(f"unknown class {given!r}; the model's classes are {known}{more}")
    return int(found[0])


def label_of(i: int, names: Names) -> str:
    """What people call class ``i``."""
    return names.get(i, str(i))
