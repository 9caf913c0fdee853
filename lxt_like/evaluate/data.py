"""What samples there are: a list, a folder, a file or a data set as one stream of samples.

Nothing is opened before its turn, so a folder may be large and one bad file stops nobody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path
from random import Random
from typing import Any

from torch import Tensor

from ..errors import InputError
from ..explain.image.open import is_image_like
from .files import Found, folder_of_images, is_image_file, read_rows


@dataclass(frozen=True)
class Given:
    """One sample as found: its id, content, and label (a name, an index, or None)."""

    id: str
    content: Any
    label: str | int | None = None
    mask: Any = None


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
    """

    name: str
    kind: str
    samples: Callable[[], Iterable[Given]]
    total: int | None
    key: Any
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns, where they are not to be guessed."""

    content: str | None = None
    pair: str | None = None
    label: str | None = None
    mask: str | None = None


def open_source(data: Any, columns: Columns | None = None, split: str | None = None) -> Source:
    """The samples of ``data``.

    Args:
        data: a list of texts, of images, of (text or image, label), or of dicts; an image folder
            (sub-folders are classes) or one image; a .txt, .tsv, .csv or .jsonl file of texts; a
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
    if hasattr(data, "features") or isinstance(data, Mapping):
        from .hub import of_dataset

        return of_dataset(data, columns, split)
    if isinstance(data, Iterable):
        return _of_list(list(data), columns)
    raise InputError(
        "expected data to be a list, a folder, a file, a data set or a hub id, "
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
        note = f"the first {samples} samples"
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
        if is_image_file(path):
            return _of_found(path.name, "image", [Found(path.name, str(path), None, None)])
        return from_rows(path.name, read_rows(path), columns)
    if path.suffix.lower() in (".txt", ".tsv", ".csv", ".jsonl") or path.is_absolute():
        raise InputError(f"no such file or folder: {name!r}")
    from .hub import of_hub

    return of_hub(name, columns, split)


def _of_found(name: str, kind: str, found: Sequence[Found]) -> Source:
    rows = [Given(f.id, f.path, f.label) for f in found]
    return Source(name, kind, Listed(rows), len(rows), [[f.id, f.size, f.label] for f in found])


def _of_list(items: list[Any], columns: Columns) -> Source:
    if not items:
        raise InputError("there are no samples: the list is empty")
    if all(isinstance(item, Mapping) for item in items):
        return from_rows("a list", items, columns)
    rows = []
    for i, item in enumerate(items):
        content, label = item, None
        if isinstance(item, tuple):
            if len(item) != 2:
                raise InputError(
                    f"sample {i}: expected a text or image, or (text or image, label), "
                    f"got a tuple of {len(item)}"
                )
            content, label = item
            label = _index(label)
            if label is not None and (not isinstance(label, str | int) or isinstance(label, bool)):
                raise InputError(
                    f"sample {i}: expected a label's name or index, got {type(label).__name__}"
                )
        rows.append(Given(str(i), content, label))
    kinds = {kind_of(row.content, i) for i, row in enumerate(rows)}
    if len(kinds) > 1:
        raise InputError("the list holds texts and images: evaluate them one kind at a time")
    return Source("a list", kinds.pop(), Listed(rows), len(rows), [_key(row) for row in rows])


def kind_of(content: Any, at: int) -> str:
    """``"text"`` or ``"image"``; a string that is an image file's path is an image.

    Raises:
        InputError: it is neither.
    """
    if isinstance(content, str):
        return "image" if len(content) < 4096 and is_image_file(Path(content)) else "text"
    if isinstance(content, tuple | list) and all(isinstance(part, str) for part in content):
        return "text"
    if is_image_like(content):
        return "image"
    raise InputError(f"sample {at}: expected a text or an image, got {type(content).__name__}")


def _key(row: Given) -> list[Any]:
    """Everything of a sample that a number depends on; random orders are drawn by its id."""
    content: Any = row.content
    if isinstance(content, tuple | list):
        content = list(content)
    elif isinstance(content, os.PathLike):
        content = os.fspath(content)
    elif not isinstance(content, str):
        content = _digest(content)
    return [row.id, content, row.label, None if row.mask is None else _digest(row.mask)]


def _digest(content: Any) -> str:
    """Of an image in memory, or of a mask."""
    if isinstance(content, Tensor):
        content = content.detach().cpu()
        content = (content.float() if content.is_floating_point() else content).numpy()
    if isinstance(content, bytes | bytearray):
        data = bytes(content)
    elif hasattr(content, "tobytes"):
        about = [getattr(content, name, None) for name in ("mode", "size", "shape", "dtype")]
        data = repr([str(part) for part in about]).encode() + content.tobytes()
    elif isinstance(content, Mapping):
        data = repr([(name, _digest(part)) for name, part in content.items()]).encode()
    elif isinstance(content, list | tuple):  # the text of an array inside would be abridged
        data = repr([_digest(part) for part in content]).encode()
    else:
        data = repr(content).encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()[:16]


_CONTENT = ("text", "sentence", "content", "review", "image", "img")
_PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question", "sentence"))
_LABELS = ("label", "labels", "class", "sentiment", "fine_label", "coarse_label")


def from_rows(name: str, rows: Sequence[Mapping[str, Any]], columns: Columns) -> Source:
    """Dicts as samples, their columns named or guessed.

    Raises:
        InputError: there are none, or a column that is not there.
    """
    if not rows:
        raise InputError(f"there are no samples in {name}")
    wanted = guessed(list(rows[0]), columns, name)
    given = [of_row(row, str(i), wanted, name) for i, row in enumerate(rows)]
    kind = kind_of(given[0].content, 0)
    return Source(name, kind, Listed(given), len(given), [_key(row) for row in given])


def guessed(names: Sequence[str], columns: Columns, where: str) -> Columns:
    """All columns that matter among ``names``.

    Raises:
        InputError: a named column is missing, or none is known to hold the content.
    """
    for name in (columns.content, columns.pair, columns.label, columns.mask):
        if name is not None and name not in names:
            raise InputError(f"no column {name!r} in {where}; it has {', '.join(names)}")
    content, pair = columns.content, columns.pair
    if content is None:
        both = next((p for p in _PAIRS if set(p) <= set(names)), None)
        content = next((name for name in _CONTENT if name in names), None) if not both else both[0]
        pair = pair if both is None else both[1]
    if content is None:
        raise InputError(
            f"which column of {where} holds the texts or images? It has {', '.join(names)}: "
            "name one with content_column (--column)"
        )
    label = columns.label or next((name for name in _LABELS if name in names), None)
    return Columns(content, pair, label, columns.mask)


def of_row(row: Mapping[str, Any], at: str, columns: Columns, where: str) -> Given:
    """A row as a sample.

    Raises:
        InputError: the row lacks its content's column.
    """
    assert columns.content is not None
    if columns.content not in row:
        raise InputError(f"{where}, row {at}: no column {columns.content!r}")
    content = row[columns.content]
    if columns.pair is not None:
        content = (content, row.get(columns.pair))
    label = row.get(columns.label) if columns.label is not None else None
    mask = row.get(columns.mask) if columns.mask is not None else None
    label = _index(label)
    return Given(str(row.get("id", at)), content, None if label == "" else label, mask)


def _index(label: Any) -> Any:
    """A label that is a whole number of any library as an ``int``."""
    return int(label) if isinstance(label, Integral) and not isinstance(label, bool) else label
