"""Finished work on disk: append-only parts that a kill at any moment leaves whole.

A run's samples are cut into chunks by their place in the data; each chunk becomes one folder
``part-000012`` of Parquet tables.  It is written under another name, flushed to the disk, and
renamed, which file systems do at once or not at all.  A resumed run skips the chunks that are
there, so nothing is computed twice, and its chunks are those of an uninterrupted run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .tables import TABLES, read, write

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = 1
"""Version of what a part holds; another one never mixes with this."""

_KEY = "run.json"
_PARTS = "parts"
_SAMPLES = "samples.txt"

Rows = Sequence[Mapping[str, Any]]


def fingerprint(settings: Mapping[str, Any]) -> str:
    """16 hex digits of everything that decides a run's numbers; equal settings, equal digits.

    Raises:
        InputError: a setting is no JSON value.
    """
    return hashlib.sha256(_json(settings).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _json(settings: Mapping[str, Any]) -> str:
    try:
        return json.dumps(settings, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"a setting of the run is no JSON value: {error}") from error


class Store:
    """The parts of one run in ``folder``, keyed by its settings.

    Opening it for the settings it was made with resumes; leftovers of a killed run are removed.
    One process writes at a time.  ``made_with``: versions, which a refusal names if they differ.

    Raises:
        InputError: the folder holds a run with other settings (the message names them), or
            cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        settings: Mapping[str, Any],
        made_with: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.settings = json.loads(_json({"schema": SCHEMA, **settings}))
        self.made_with = dict(made_with or {})
        self._parts = self.folder / _PARTS
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            self._claim()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InputError(f"cannot write the report to {self.folder}: {reason}") from error
        for left in self._parts.glob(".*"):
            shutil.rmtree(left)

    def _claim(self) -> None:
        """Write the settings, or compare with those that are there."""
        path = self.folder / _KEY
        if not path.exists():
            document = {"settings": self.settings, "made_with": self.made_with}
            replace(path, json.dumps(document, indent=1, ensure_ascii=False).encode())
            return
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            settings, versions = dict(known["settings"]), dict(known.get("made_with", {}))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is no record of an evaluation: give another folder, or delete this one"
            ) from error
        if names := list(_differing(settings, self.settings)):
            changed = [
                f"made with {name} {versions[name]}, here {here}"
                for name, here in self.made_with.items()
                if versions.get(name, here) != here
            ]
            raise InputError(
                f"{self.folder} holds an evaluation with other settings "
                f"({', '.join([*names, *changed])}): give another folder, or delete this one"
            )

    def finished(self, chunk: int, key: str | None = None) -> bool:
        """Whether the part of a chunk is there, whole.

        Args:
            key: of the chunk's samples, where the settings do not tell them.

        Raises:
            InputError: it is there, and was made of other samples.
        """
        there = self._path(chunk).is_dir()
        if there and key is not None:
            file = self._path(chunk) / _SAMPLES
            if not file.exists() or file.read_text() != key:
                raise self.changed()
        return there

    def check_end(self, chunks: int) -> None:
        """Raise InputError if the folder holds more chunks than there are."""
        if any(path.name > self._path(chunks - 1).name for path in self._finished()):
            raise self.changed()

    def changed(self) -> InputError:
        """The error of a folder whose finished part is of other samples."""
        return InputError(
            f"{self.folder} holds an evaluation of other samples (data): give another folder, or "
            "delete this one"
        )

    def add(self, chunk: int, tables: Mapping[str, Rows], key: str | None = None) -> None:
        """Commit the tables of a chunk, all or nothing; rows as in ``tables.TABLES``.

        ``key``: see :meth:`finished`.
        """
        draft = self._parts / f".draft-{uuid.uuid4().hex}"
        draft.mkdir()
        for name in TABLES:
            path = draft / f"{name}.parquet"
            write(path, name, tables.get(name, ()))
            sync(path)
        if key is not None:
            (draft / _SAMPLES).write_text(key)
            sync(draft / _SAMPLES)
        sync(draft)
        draft.rename(self._path(chunk))
        sync(self._parts)

    def table(self, name: str) -> pa.Table:
        """One table over all finished chunks, in their order."""
        import pyarrow as pa

        parts = [read(path / f"{name}.parquet", name) for path in self._finished()]
        return pa.concat_tables(parts) if parts else TABLES[name]().empty_table()

    def _finished(self) -> Iterator[Path]:
        yield from sorted(self._parts.glob("part-*"))

    def _path(self, chunk: int) -> Path:
        return self._parts / f"part-{chunk:08d}"


def replace(path: Path, content: bytes) -> None:
    """Write a file so that at any moment the old or the new one is there, whole."""
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    if path.is_dir() and os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _differing(known: Any, now: Any, name: str = "") -> Iterator[str]:
    """Names of what differs; ``{"within": ..., "values": [...]}`` are numbers that may be close."""
    if isinstance(known, dict) and isinstance(now, dict):
        if "within" in now and known.keys() == now.keys():
            if not _close(known["values"], now["values"], now["within"]):
                yield name
            return
        for key in dict.fromkeys([*now, *known]):
            inside = f"{name}.{key}" if name else str(key)
            if (key in known) != (key in now):
                yield inside
            else:
                yield from _differing(known.get(key), now.get(key), inside)
    elif known != now:
        yield name


def _close(known: Sequence[Any], now: Sequence[Any], within: float) -> bool:
    return len(known) == len(now) and all(
        a == b or (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= within)
        for a, b in zip(known, now, strict=True)
    )
