"""What samples there are: a list, a folder, a file or a data set as one stream of samples.

Nothing is opened before its turn, so a folder may be large and one bad file stops nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from numbers import Integral
from pathlib import Path
from random import Random
from typing import Any

from ..errors import InputError
from ..explain.image.folders import Found, folder_of_images, has_image_suffix
from ..explain.tables import columns_of, rows_of
from .columns import Columns, guessed
from .counted import counted
from .keys import key_of
from .kinds import IMAGE_COLUMNS, kind_of, mostly, together
from .rows import Entry, read_rows


@dataclass(frozen=True)
class Given:
    """One sample as found: its id, content, and label (a name, an index, or None).

    ``fault``: why it cannot be read; then it is nothing but a place in the data.
    """

    id: str
    content: Any
    label: str | int | None = None
    mask: Any = None
    fault: str | None = None


@dataclass(frozen=True)
class Source:
    """A stream of samples.

    Attributes:
        name: what it is called in the report.
        kind: ``"text"`` or ``"image"``.
        samples: iterates from the first sample; the same order each time.
        total: how many there are; None where nobody knows before the end.
        key: what tells this data from other data in a run's fingerprint.
        notes: what a reader of the report should know.
        known: whether ``key`` tells each sample; otherwise they are compared as they come.
    """

    name: str
    kind: str
    samples: Callable[[], Iterable[Given]]
    total: int | None
    key: Any
    notes: tuple[str, ...] = field(default=())
    known: bool = True


def open_source(data: Any, columns: Columns | None = None, split: str | None = None) -> Source:
    """The samples of ``data``.

    Args:
        data: a list of texts, of images, of (text or image, label), or of dicts; a table in memory
            (pandas, pyarrow, polars, or a dict of columns); an image folder (sub-folders are
            classes) or one image; a .txt, .tsv, .csv or .jsonl file of texts or of images' paths; a
            ``datasets`` data set, a folder of one, or a hub id, which is streamed.
        columns: the columns of a table or data set.
        split: which part of a data set.

    Raises:
        InputError: no such data, none in it, or data of no known form.
    """
    columns = columns or Columns()
    if isinstance(data, Source):
        return data
    if isinstance(data, str | os.PathLike):
        return _of_name(os.fspath(data), columns, split)
    if isinstance(data, Mapping):
        return _of_mapping(data, columns, split)
    if (
        hasattr(data, "features") and hasattr(data, "info") and not hasattr(data, "iloc")
    ):  # its columns have features, too
        from .hub import of_dataset

        return of_dataset(data, columns, split)
    if columns_of(data) is not None:
        return _of_rows("a table", rows_of(data), columns)
    if isinstance(data, Iterable):
        return _of_list(list(data), columns)
    raise InputError(
        "expected data to be a list, a folder, a file, a table, a data set or a hub id, "
        f"got {type(data).__name__}"
    )


def limited(source: Source, samples: int | None, seed: int = 0) -> Source:
    """``samples`` of the source: drawn at random where their number is known, else the first.

    A random draw in the source's order, since folders and files are often sorted by class.

    Raises:
        InputError: not even one sample is asked for.
    """
    if samples is None or (source.total is not None and source.total <= samples):
        return source
    if samples < 1:
        raise InputError(f"samples must be at least 1, got {samples}")
    if source.total is None:
        note = f"the first {counted(samples)}"
        return replace(
            source,
            samples=_Chosen(source.samples, range(samples), samples),
            total=samples,
            key=[source.key, samples],
            notes=(*source.notes, note),
        )
    chosen = sorted(Random(seed).sample(range(source.total), samples))
    note = f"{samples} of {source.total} samples, drawn at random"
    return replace(
        source,
        samples=_Chosen(source.samples, frozenset(chosen), chosen[-1] + 1),
        total=samples,
        key=[source.key, samples, seed],
        notes=(*source.notes, note),
    )


@dataclass(frozen=True)
class _Chosen:
    """The samples at some places, none read beyond ``end``."""

    samples: Callable[[], Iterable[Given]]
    places: Any
    end: int

    def __call__(self) -> Iterator[Given]:
        for at, sample in enumerate(self.samples()):
            if at in self.places:
                yield sample
            if at + 1 >= self.end:
                return


@dataclass(frozen=True)
class Listed:
    """Samples that are all there."""

    rows: Sequence[Given]

    def __call__(self) -> Iterator[Given]:
        yield from self.rows


def _of_name(name: str, columns: Columns, split: str | None) -> Source:
    path = Path(name).expanduser()
    if path.is_dir():
        if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
            from .hub import of_folder

            return of_folder(path, columns, split)
        return _of_found(path.name or str(path), "image", folder_of_images(path))
    if path.is_file():
        if has_image_suffix(path):
            return _of_found(path.name, "image", [Found(path.name, str(path), None, None)])
        named = [n for n in (columns.content, columns.pair, columns.label) if n is not None]
        return from_entries(path.name, read_rows(path, named), columns, path.parent)
    known = path.suffix.lower() in (".txt", ".tsv", ".csv", ".jsonl", ".ndjson")
    if known or has_image_suffix(path) or path.is_absolute():
        raise InputError(f"no such file or folder: {name!r}")
    from .hub import of_hub

    return of_hub(name, columns, split)


def _of_found(name: str, kind: str, found: Sequence[Found]) -> Source:
    rows = [Given(f.id, f.path, f.label) for f in found]
    return Source(name, kind, Listed(rows), len(rows), [[f.id, f.size, f.label] for f in found])


def _of_mapping(data: Mapping[Any, Any], columns: Columns, split: str | None) -> Source:
    """A data set or table by split, or one table by column."""
    from .hub import of_dataset, split_of

    tables = [columns_of(value) is not None for value in data.values()]
    if not tables or any(hasattr(v, "features") and not hasattr(v, "iloc") for v in data.values()):
        return of_dataset(data, columns, split)
    if all(tables):
        chosen, notes = split_of(data, split)
        return replace(_of_rows("a table", rows_of(chosen), columns), notes=notes)
    for name, value in data.items():
        if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__"):
            raise InputError(
                f"expected a dict of columns, each a list, got {type(value).__name__} under "
                f"{str(name)!r}: a single sample goes in as a list of one dict"
            )
    lengths = {str(name): len(value) for name, value in data.items()}
    if len({*lengths.values()}) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"expected columns of one length, got {told}")
    rows = [dict(zip(lengths, row, strict=True)) for row in zip(*data.values(), strict=True)]
    return _of_rows("a table", rows, columns)


def _of_rows(name: str, rows: Sequence[Any], columns: Columns) -> Source:
    entries = [
        Entry(str(i), {}, "expected a row, got None") if row is None else Entry(str(i), row)
        for i, row in enumerate(rows)
    ]
    return from_entries(name, entries, columns)


def _of_list(items: list[Any], columns: Columns) -> Source:
    if not items:
        raise InputError("there are no samples: the list is empty")
    there = [item for item in items if item is not None]
    if there and all(isinstance(item, Mapping) for item in there):
        return _of_rows("a list", items, columns)
    rows, kinds = [], []
    for i, item in enumerate(items):
        try:
            content, label = _labelled(item)
            kinds.append(kind_of(content))
            rows.append(Given(str(i), content, label))
        except InputError as error:
            rows.append(Given(str(i), None, fault=str(error)))
    if not kinds:
        raise InputError(f"sample {rows[0].id}: {rows[0].fault}")
    kind = together(kinds)
    if kind is None:
        raise InputError("the list holds texts and images: evaluate them one kind at a time")
    keys = [key_of(row, kind == "image") for row in rows]
    return Source("a list", kind, Listed(rows), len(rows), keys)


def _labelled(item: Any) -> tuple[Any, str | int | None]:
    if not isinstance(item, tuple):
        return item, None
    if len(item) != 2:
        raise InputError(
            f"expected a text or image, or (text or image, label), got a tuple of {len(item)}"
        )
    return item[0], _index(item[1])


def from_entries(
    name: str, entries: Sequence[Entry], columns: Columns, folder: Path | None = None
) -> Source:
    """Rows as samples, their columns named or guessed.

    Args:
        folder: where the table lies; an image's path starts there, or where there is no such file,
            in the working directory.

    Raises:
        InputError: there are none, not one can be read, or a column that is not there.
    """
    if not entries:
        raise InputError(f"there are no samples in {name}")
    columns_there = list(dict.fromkeys(column for entry in entries for column in entry.row))
    wanted = guessed(columns_there, columns, name) if columns_there else columns
    given = [of_row(e.row, e.where, wanted, e.fault) for e in entries]
    kinds: list[str] = []
    for i, sample in enumerate(given):
        if sample.fault is None:
            try:
                kinds.append(kind_of(sample.content))
            except InputError as error:
                if not kinds:  # afterwards the task says what it expects
                    given[i] = replace(sample, content=None, fault=str(error))
    if not kinds:
        raise InputError(f"{name}, {given[0].id}: {given[0].fault}")
    images = str(wanted.content).lower() in IMAGE_COLUMNS and wanted.pair is None
    kind = "image" if images else mostly(kinds)
    if kind == "image" and folder is not None:
        given = [replace(row, content=_placed(row.content, folder)) for row in given]
    keys = [key_of(row, kind == "image") for row in given]
    return Source(name, kind, Listed(given), len(given), keys)


def _placed(content: Any, folder: Path) -> Any:
    """The path of an image that a table in ``folder`` names."""
    if not isinstance(content, str):
        return content
    path = folder / os.path.expanduser(content)
    return str(path) if os.path.isfile(path) else content


def of_row(row: Mapping[str, Any], where: str, columns: Columns, fault: str | None = None) -> Given:
    """A row as a sample; with the fault of one that lacks what it needs."""
    fault = fault or _lacking(row, str(columns.content), "text or image")
    if columns.pair is not None:
        fault = fault or _lacking(row, columns.pair, "text")
    if fault is not None:
        return Given(where, None, fault=fault)
    name = where if _lacks_name(row) else str(row["id"])
    content = row[str(columns.content)]
    if columns.pair is not None:
        content = (content, row[columns.pair])
    mask = row.get(columns.mask) if columns.mask is not None else None
    label = row.get(columns.label) if columns.label is not None else None
    if isinstance(label, float) and label.is_integer():
        label = int(label)  # as tables write whole numbers beside a gap
    try:
        label = _index(label)
    except InputError as error:
        return Given(name, None, fault=str(error))
    return Given(name, content, None if label == "" else label, mask)


def _lacks_name(row: Mapping[str, Any]) -> bool:
    given = row.get("id")
    gap = given is None or (isinstance(given, float) and isnan(given))
    return gap or not str(given).strip()


def _lacking(row: Mapping[str, Any], column: str, what: str) -> str | None:
    """What is wrong with a row that has nothing in a column."""
    if column not in row:
        return f"no column {column!r}"
    return f"expected a {what} in the column {column!r}, got None" if row[column] is None else None


def _index(label: Any) -> str | int | None:
    """A label's name or index; NaN marks a gap, as in tables.

    Raises:
        InputError: it is neither.
    """
    if label is None or isinstance(label, str):
        return label
    if isinstance(label, Integral) and not isinstance(label, bool):
        return int(label)
    if isinstance(label, float) and isnan(label):
        return None
    raise InputError(f"expected a label's name or index, got {type(label).__name__}")
