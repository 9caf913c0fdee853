"""The words in a name, by which arguments, parameters and modules say what they are."""

from __future__ import annotations

import re

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def words(name: str) -> list[str]:
    """The words of a name in lower case: pos_embed, posEmbed and pos.embed are pos and embed."""
    return [word.lower() for word in _WORD.findall(name)]


def follow(found: list[str], *phrase: str) -> bool:
    """Whether these words follow each other in ``found``."""
    return any(found[i : i + len(phrase)] == [*phrase] for i in range(len(found)))
