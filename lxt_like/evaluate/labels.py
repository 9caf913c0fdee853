"""The true classes of samples matched to a model's, by name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..classes import Called


class Labels:
    """Finds a model's class for a label of the data.

    Names fit as those of a target do (:class:`.Called`); of classes with one name the first is
    meant.  An int is a class's index, whatever the classes are called, as everywhere else; a
    number written as text (all that a .csv or .tsv holds) is a class's name where one is called
    so, and else its index.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._called = Called(dict(enumerate(names)))

    def index(self, label: str | int | None) -> int | None:
        """The class of a label; None where it has none among the model's."""
        if label is None:
            return None
        if isinstance(label, str):
            if found := self._called.find(label):
                return found[0]
            number = re.fullmatch(r"\s*(\d+)(?:\.0+)?\s*", label)  # 1.0: beside a gap
            if number is None:
                return None
            label = number[1]
        at = int(label)
        return at if 0 <= at < len(self.names) else None
