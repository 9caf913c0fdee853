"""The texts that a caller hands in, checked one by one before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isnan

from ..errors import InputError

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Texts:
    """``texts[i]`` with its pair or None; ``single``: the caller gave one text, not a list."""

    texts: list[str]
    pairs: list[str | None]
    single: bool


def check_texts(text: object, pair: object = None) -> Texts:
    """A text, or an iterable of texts, and the same of pairs.

    Raises:
        InputError: something is no ``str``, is not valid Unicode, or the pairs do not match.
    """
    single = isinstance(text, str)
    texts = [_valid(text, "text")] if single else _many(text, "text")
    pairs: list[str | None]
    if pair is None:
        pairs = [None] * len(texts)
    elif single:
        pairs = [_valid(pair, "pair")]
    else:
        pairs = [*_many(pair, "pair")]
        if len(pairs) != len(texts):
            raise InputError(
                f"expected one pair for each of the {len(texts)} texts, got {len(pairs)}"
            )
    return Texts(texts, pairs, single)


def positive(value: object, name: str, least: int = 1) -> int:
    """``value`` if it is a whole number of at least ``least``.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"expected {name} to be a whole number >= {least}, got {value!r}")
    return value


def _many(values: object, name: str) -> list[str]:
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        raise InputError(
            f"expected {name} to be a str or a list of str, got {type(values).__name__} "
            f"({_short(values)})" + _hint(values)
        )
    return [_valid(value, f"{name}[{i}]") for i, value in enumerate(values)]


def _valid(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise InputError(
            f"expected {name} to be a str, got {type(value).__name__} ({_short(value)})"
            + _hint(value)
        )
    lone = _SURROGATE.search(value)
    if lone is not None:
        raise InputError(
            f"expected {name} to be valid Unicode, got the lone surrogate "
            f"U+{ord(lone[0]):04X} at character {lone.start()}: replace it, e.g. with "
            "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
        )
    return str(value)


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _hint(value: object) -> str:
    if isinstance(value, bytes):
        return ": decode it first, e.g. with .decode('utf-8')"
    if value is None or (isinstance(value, float) and isnan(value)):  # as tables mark a gap
        return ": leave missing texts out"
    return ""
