"""The texts that a caller hands in, checked one by one before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import TypeVar

from ..errors import InputError
from .messages import Chat
from .tables import refuse_table

Checked = TypeVar("Checked")

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Texts:
    """``texts[i]`` with its pair or None; ``single``: the caller gave one text, not a list."""

    texts: list[str | Chat]
    pairs: list[str | None]
    single: bool


def split_questions(text: object, pair: object) -> tuple[object, object]:
    """Texts and pairs where each text may hold both: a dict of question and context.

    Of several also tuples; a lone tuple is left as it is, since it may be two texts.

    Raises:
        InputError: a dict has other keys, there are pairs besides, or a table with other columns.
    """
    refuse_table(text, but=("question", "context"))
    if isinstance(text, Mapping):
        return _split(text, pair)
    if isinstance(text, str | bytes) or not isinstance(text, Iterable):
        return text, pair
    many = text if isinstance(text, tuple) else list(text)
    if not many or not all(isinstance(t, Mapping | tuple) for t in many):
        return many, pair
    both = [_split(t, pair) for t in many]
    return [question for question, _ in both], [context for _, context in both]


def _split(given: object, pair: object) -> tuple[object, object]:
    if pair is not None:
        raise InputError("expected the second texts in text or in pair, got both: leave one out")
    if isinstance(given, Mapping) and set(given) == {"question", "context"}:
        return given["question"], given["context"]
    if isinstance(given, tuple) and len(given) == 2:
        return given
    raise InputError(
        "expected (question, context) or dict(question=..., context=...), got "
        + (
            f"a dict of {', '.join(map(str, given))}"
            if isinstance(given, Mapping)
            else f"a tuple of {len(given) if isinstance(given, tuple) else 0}"
        )
    )


def as_question(given: Texts, lone: object) -> Texts:
    """Two texts that a caller gave as one tuple, ``lone``, as a question and its context."""
    if isinstance(lone, tuple) and len(lone) == 2 and not any(given.pairs):
        question, context = given.texts
        if isinstance(context, str):
            return Texts([question], [context], single=True)
    return given


def check_prefixes(prefix: object, given: Texts) -> list[str | None]:
    """One prefix (or None) for each text.

    Raises:
        InputError: something is no ``str``, or there are more or fewer than texts.
    """
    if prefix is None:
        return [None] * len(given.texts)
    if isinstance(prefix, str):
        return [_valid(prefix, "prefix")] * len(given.texts)
    prefixes = _many(prefix, "prefix")
    if given.single or len(prefixes) != len(given.texts):
        raise InputError(f"expected one prefix for {_each(len(given.texts))}, got {len(prefixes)}")
    return [*prefixes]


def check_texts(text: object, pair: object = None) -> Texts:
    """A text or :class:`.Chat`, or an iterable of them, and the same of pairs.

    Raises:
        InputError: something is no ``str``, is not valid Unicode, or the pairs do not match.
    """
    single = isinstance(text, str | Chat)
    texts = [_read(text, "text")] if single else _each_of(text, "text", _read)
    pairs: list[str | None]
    if pair is None:
        pairs = [None] * len(texts)
    elif single:
        pairs = [_valid(pair, "pair")]
    else:
        pairs = [*_many(pair, "pair")]
        if len(pairs) != len(texts):
            raise InputError(f"expected one pair for {_each(len(texts))}, got {len(pairs)}")
    return Texts(texts, pairs, single)


def batch_size_of(given: int | None, ledger: bool) -> int:
    """How many inputs run at once: as asked, else what is fastest on a CPU.

    Raises:
        InputError: something else than a positive whole number was asked for.
    """
    return (8 if ledger else 16) if given is None else positive(given, "batch_size")


def positive(value: object, name: str, least: int = 1) -> int:
    """``value`` if it is a whole number of at least ``least``.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"expected {name} to be a whole number >= {least}, got {value!r}")
    return value


def _each(texts: int) -> str:
    return "the text" if texts == 1 else f"each of the {texts} texts"


def _many(values: object, name: str) -> list[str]:
    return _each_of(values, name, _valid)


def _each_of(values: object, name: str, check: Callable[[object, str], Checked]) -> list[Checked]:
    refuse_table(values)
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        raise InputError(
            f"expected {name} to be a str or a list of str, got {type(values).__name__} "
            f"({_short(values)})" + _hint(values)
        )
    return [check(value, f"{name}[{i}]") for i, value in enumerate(values)]


def _read(value: object, name: str) -> str | Chat:
    if not isinstance(value, Chat):
        return _valid(value, name)
    for i, (role, content) in enumerate(value.messages):
        _valid(role, f"the role of message {i}")
        _valid(content, f"message {i}")
    return value


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
