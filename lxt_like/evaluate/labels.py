"""The true classes of samples matched to a model's, by name."""

from __future__ import annotations

import re
from collections.abc import Sequence


class Labels:
    """Finds a model's class for a label of the data.

    Names fit without regard to case, blanks, hyphens and underscores; a class that is a list of
    synonyms ("tabby, tabby cat") by any of them that no other class has.  An int is a class's
    index, whatever the classes are called, as everywhere else; a number written as text (all that
    a .csv or .tsv holds) is a class's name where one is called so, and else its index.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        found: dict[str, set[int]] = {}
        for i, name in enumerate(names):
            for part in {name, *name.split(",")}:
                found.setdefault(_plain(part), set()).add(i)
        self._index = {name: next(iter(at)) for name, at in found.items() if len(at) == 1}
        # a whole name wins over another class's synonym
        self._index |= {_plain(name): i for i, name in reversed([*enumerate(names)])}

    def index(self, label: str | int | None) -> int | None:
        """The class of a label; None where it has none among the model's."""
        if label is None:
            return None
        if isinstance(label, str) and _plain(label) in self._index:
            return self._index[_plain(label)]
        if isinstance(label, str) and not re.fullmatch(r"\s*\d+\s*", label):
            return None
        at = int(label)
        return at if 0 <= at < len(self.names) else None


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", " ", name).strip().casefold()
