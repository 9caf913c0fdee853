"""Samples of ``datasets``: in memory, saved in a folder, or streamed from the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, one_line
from .columns import Columns, guessed
from .data import Given, Source, of_row
from .kinds import IMAGE_COLUMNS

_SPLITS = ("validation", "test", "dev", "train")


def of_dataset(data: Any, columns: Columns, split: str | None, name: str | None = None) -> Source:
    """A ``Dataset``, ``IterableDataset``, or a dict of them.

    Raises:
        InputError: there is no such split, no sample, or no column of texts or images.
    """
    notes: tuple[str, ...] = ()
    if isinstance(data, Mapping):
        data, notes = split_of(data, split)
    if not hasattr(data, "features"):
        raise InputError(f"expected a data set of the library datasets, got {type(data).__name__}")
    name = name or str(getattr(data.info, "dataset_name", None) or "a data set")
    features = dict(data.features or {})
    names = list(features) or list(next(iter(data), {}))
    total = len(data) if hasattr(data, "__len__") else None
    if total == 0 or not names:
        raise InputError(f"there are no samples in {name}")
    picture = next((n for n in names if type(features.get(n)).__name__ == "Image"), None)
    if columns.content is None and picture is not None:
        columns = Columns(picture, None, columns.label, columns.mask)
    wanted = guessed(names, columns, name)
    image = type(features.get(wanted.content or "")).__name__ == "Image"
    if image:
        from datasets import Image

        # bytes, so that a bad file is that sample's fault and not the iteration's
        data = data.cast_column(wanted.content, Image(decode=False))
    classes = getattr(features.get(wanted.label or ""), "names", None)
    print_of = getattr(data, "_fingerprint", None)
    key = [name, split, print_of, wanted.content, wanted.pair, wanted.label, wanted.mask]
    kind = "image" if image or wanted.content in IMAGE_COLUMNS else "text"
    return Source(name, kind, _Rows(data, wanted, classes), total, key, notes, print_of is not None)


@dataclass(frozen=True)
class _Rows:
    """The rows of a data set one by one, class numbers as names."""

    data: Any
    columns: Columns
    classes: list[str] | None

    def __call__(self) -> Iterator[Given]:
        for at, row in enumerate(self.data):
            given = of_row(row, str(at), self.columns)
            label = given.label
            if self.classes is not None and isinstance(label, int):
                label = self.classes[label] if 0 <= label < len(self.classes) else None
            yield replace(given, label=label)


def split_of(data: Mapping[str, Any], split: str | None) -> tuple[Any, tuple[str, ...]]:
    """The part that is asked for, or the one that is usually evaluated, which is noted.

    Raises:
        InputError: there is no such part, or none at all.
    """
    if split is not None:
        if split not in data:
            raise InputError(f"no split {split!r}; there are {', '.join(data)}")
        return data[split], ()
    if not data:
        raise InputError("there are no samples: the data set has no splits")
    chosen = next((name for name in _SPLITS if name in data), next(iter(data)))
    return data[chosen], (f"split {chosen}",) if len(data) > 1 else ()


def of_folder(folder: Path, columns: Columns, split: str | None) -> Source:
    """What ``save_to_disk`` wrote."""
    from datasets import load_from_disk

    data = _guarded(lambda: load_from_disk(str(folder)), str(folder))
    return of_dataset(data, columns, split, folder.name)


def of_hub(name: str, columns: Columns, split: str | None) -> Source:
    """A data set of the hub, streamed; ``owner/name:config`` names one of its parts."""
    from datasets import load_dataset

    path, _, config = name.partition(":")
    data = _guarded(lambda: load_dataset(path, config or None, streaming=True), name)
    return of_dataset(data, columns, split, name)


def _guarded(load: Callable[[], Any], name: str) -> Any:
    try:
        return load()
    except Exception as error:  # whatever the library and its many back ends raise
        reason = one_line(error)
        raise InputError(
            f"{name!r} is no file or folder here, and no data set could be loaded: {reason}"
        ) from error
