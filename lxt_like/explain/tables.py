"""Tables of other libraries: told from lists of texts, and read row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan
from typing import Any

from ..errors import InputError


def columns_of(given: Any) -> tuple[list[str], str] | None:
    """The names of a table's columns, and what a table of its kind is called in code.

    Tables are data frames (pandas, polars), ``pyarrow`` tables and data sets of the library
    ``datasets``, of which a dict by split has the columns of its first one.  None: no table.
    """
    if isinstance(given, type):
        return None
    frame = hasattr(given, "iloc") or hasattr(given, "to_dicts") or hasattr(given, "collect_schema")
    columns: Any = getattr(given, "columns" if frame else "column_names", None)
    of = "df" if frame else "ds"
    if isinstance(columns, Mapping):  # by split
        split = next(iter(columns), "train")
        columns, of = columns.get(split), f"{of}[{split!r}]"
    if columns is None or isinstance(columns, str) or not isinstance(columns, Iterable):
        return None
    return [str(name) for name in columns], of


def rows_of(table: Any) -> list[dict[str, Any]]:
    """The rows of a data frame or ``pyarrow`` table, with None where it has a gap.

    Raises:
        InputError: it is a table of another library.
    """
    if hasattr(table, "collect") and hasattr(table, "collect_schema"):  # a lazy one of polars
        table = table.collect()
    if hasattr(table, "iloc"):
        names = [str(name) for name in table.columns]
        rows = (dict(zip(names, row, strict=True)) for row in table.itertuples(False, None))
    elif hasattr(table, "to_dicts") or hasattr(table, "to_pylist"):
        rows = iter(table.to_dicts() if hasattr(table, "to_dicts") else table.to_pylist())
    else:
        raise InputError(
            f"a table of the type {type(table).__name__} cannot be read: give its rows as a list "
            "of dicts"
        )
    return [{name: None if _is_gap(v) else v for name, v in row.items()} for row in rows]


def _is_gap(value: Any) -> bool:
    if isinstance(value, float):
        return isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def refuse_table(given: object, but: Iterable[str] | None = None) -> None:
    """A data set or data frame is no list of texts; one of its columns is.

    Raises:
        InputError: it is one, and no data set with just the columns ``but``.
    """
    found = columns_of(given)
    if found is None:
        return
    names, of = found
    if but is None or set(names) != {*but} or of != "ds":
        best = next((n for n in ("text", "sentence", *names) if n in names), "text")
        raise InputError(
            f"expected texts, got a table with the columns {', '.join(names)}: give one of them, "
            f"such as {of}[{best!r}]"
        )
