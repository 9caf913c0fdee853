"""What a class on the command line means: its name, or its number where none is called so."""

from __future__ import annotations

import re

import torch

from ..classes import Called
from ..errors import InputError
from ..targets import Contrast, Names, indices_of


def class_of(given: str, names: Names, outputs: int) -> int:
    """The index of a class that was written on the command line.

    Args:
        given: a name, or a number where no class has that name; negative from the last class.
        names: index -> name.
        outputs: how many classes there are.

    Raises:
        TargetError: there is no such class; the message lists those that there are.
    """
    number = re.fullmatch(r"[+-]?\d+", given) and not Called(names).find(given)
    return int(indices_of(int(given) if number else given, torch.zeros(1, outputs), names))


def classes_of(
    target: str | None, foil: str | None, names: Names, outputs: int
) -> int | Contrast | None:
    """What ``--target`` and ``--foil`` ask of a head: a class, a contrast, None: the prediction.

    Raises:
        TargetError: there is no such class.
        InputError: the two are the same class.
    """
    chosen = None if target is None else class_of(target, names, outputs)
    if foil is None:
        return chosen
    other = class_of(foil, names, outputs)
    if chosen == other:
        raise InputError(f"the foil is the target itself ({foil!r}): name another class")
    return Contrast(chosen, other)
