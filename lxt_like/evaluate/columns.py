"""Which columns of a table hold the texts or images, and their classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError

_CONTENT = ("text", "sentence", "content", "review", "image", "img")
_PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question", "sentence"))
_LABELS = ("label", "labels", "class", "sentiment", "fine_label", "coarse_label")


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns, where they are not to be guessed."""

    content: str | None = None
    pair: str | None = None
    label: str | None = None
    mask: str | None = None


def guessed(names: Sequence[str], columns: Columns, where: str) -> Columns:
    """All columns that matter among ``names``.

    Raises:
        InputError: a named column is missing, or none is known to hold the content.
    """
    for name in (columns.content, columns.pair, columns.label, columns.mask):
        if name is not None and name not in names:
            raise InputError(f"no column {name!r} in {where}; it has {', '.join(names)}")
    known = {name.lower(): name for name in reversed(names)}
    content, pair = columns.content, columns.pair
    if content is None:
        both = next((p for p in _PAIRS if set(p) <= set(known)), None)
        found = next((n for n in _CONTENT if n in known), None) if both is None else both[0]
        content = None if found is None else known[found]
        pair = pair if both is None else known[both[1]]
    if content is None:
        raise InputError(
            f"which column of {where} holds the texts or images? It has {', '.join(names)}: "
            "name one with columns=Columns(content=...) (--column)"
        )
    label = columns.label or next((known[name] for name in _LABELS if name in known), None)
    return Columns(content, pair, label, columns.mask)
