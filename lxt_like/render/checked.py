"""Reading JSON documents with every field checked and every error naming its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..errors import InputError

_T = TypeVar("_T")


class Node:
    """A JSON object with exactly the expected fields, read with the type of each checked."""

    def __init__(self, value: object, where: str, fields: Sequence[str]) -> None:
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected an object, got {type(value).__name__}")
        if missing := [name for name in fields if name not in value]:
            raise InputError(f"{where}: missing {', '.join(missing)}")
        if unknown := sorted(name for name in value if name not in fields):
            names = ", ".join(f"{name!a:.40}" for name in unknown[:5])
            raise InputError(f"{where}: unknown field {names}")
        self.value: dict[str, Any] = value
        self.where = where

    def path(self, name: str) -> str:
        """Where a field is, for messages: ``explanation.target.label``."""
        return f"{self.where}.{name}"

    def string(self, name: str) -> str:
        return read_string(self.value[name], self.path(name))

    def real(self, name: str) -> float:
        return read_real(self.value[name], self.path(name))

    def whole(self, name: str, least: int | None = None) -> int:
        value = self.value[name]
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(f"{self.path(name)}: expected a whole number, got {shown(value)}")
        if least is not None and value < least:
            raise InputError(f"{self.path(name)}: expected at least {least}, got {value}")
        return value

    def flag(self, name: str) -> bool:
        value = self.value[name]
        if not isinstance(value, bool):
            raise InputError(f"{self.path(name)}: expected true or false, got {shown(value)}")
        return value

    def optional(self, name: str, read: Callable[[str], _T]) -> _T | None:
        return None if self.value[name] is None else read(name)

    def items(self, name: str, read: Callable[[object, str], _T], least: int = 0) -> list[_T]:
        value = self.value[name]
        if not isinstance(value, list):
            raise InputError(f"{self.path(name)}: expected a list, got {shown(value)}")
        if len(value) < least:
            raise InputError(f"{self.path(name)}: expected at least {least} item, got none")
        return [read(item, f"{self.path(name)}[{index}]") for index, item in enumerate(value)]


def shown(value: object) -> str:
    """A value of a document as an error message names it: short, and never a deep structure."""
    if isinstance(value, (list, dict)):
        return f"{type(value).__name__} of length {len(value)}"
    return f"{type(value).__name__} {value!a:.40}" if value is not None else "null"


def read_string(value: object, where: str) -> str:
    """A string, or a list of the parts of one."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return "".join(value)
    raise InputError(f"{where}: expected a string, got {shown(value)}")


def read_real(value: object, where: str) -> float:
    """A finite number as a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{where}: expected a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{where}: expected a number that fits a float, got a larger one")
    return number
