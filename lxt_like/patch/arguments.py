"""What a model's arguments are, by their names and values: what is explained, and what is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..intercept.names import words
from ..intercept.tags import flat

_ASIDE = frozenset(
    "mask masks position positions positional pos label labels bias biases cache caches".split()
)


def is_aside(name: str) -> bool:
    """Whether an argument's name says that it is no input: a mask, positions, labels, a cache."""
    return not _ASIDE.isdisjoint(words(name))


def is_direct(name: str, value: Any) -> bool:
    """Whether an argument of this name is a float input, explained as it is: no mask, say.

    A tensor of no axes is a number that samples share, and one of no elements holds nothing.
    """
    return is_float(value) and bool(value.dim() and value.numel()) and not is_aside(name)


def is_float(value: Any) -> bool:
    """Whether a value is a tensor of real or complex numbers."""
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def is_hidden(name: str, value: Any) -> bool:
    """Whether an argument holds float tensors that are not explained, though its name says none."""
    if isinstance(value, Tensor) or is_aside(name) or name == "past_key_values":
        return False
    parts = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, (list, tuple, Mapping)):
        return False
    return any(is_float(t) for t in flat(parts))


def holds_tokens(cache: Any) -> bool:
    """Whether a cache of keys and values holds any."""
    length = getattr(cache, "get_seq_length", None)
    return bool(length() if callable(length) else cache)
