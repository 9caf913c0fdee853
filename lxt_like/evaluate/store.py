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

Rows = Sequence[Mapping[str, Any]]


def fingerprint(settings: Mapping[str, Any]) -> str:
    """16 hex digits of everything that decides a run's numbers; equal settings, equal digits.

    Raises:
        InputError: a setting is no JSON value.
    """
    try:
        text = json.dumps(settings, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"a setting of the run is no JSON value: {error}") from error
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Store:
    """The parts of one run in ``folder``, keyed by its settings.

    Opening it for the settings it was made with resumes; leftovers of a killed run are removed.
    One process writes at a time.

    Raises:
        InputError: the folder holds a run with other settings (the message names them), or
            cannot be written.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.settings = {"schema": SCHEMA, **settings}
        self.fingerprint = fingerprint(self.settings)
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
            document = {"fingerprint": self.fingerprint, "settings": self.settings}
            replace(path, json.dumps(document, indent=1, ensure_ascii=False).encode())
            return
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            settings, found = dict(known["settings"]), str(known["fingerprint"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is no record of an evaluation: give another folder, or delete this one"
            ) from error
        if found != self.fingerprint:
            names = [n for n in self.settings if settings.get(n) != self.settings[n]]
            names += [n for n in settings if n not in self.settings]
            raise InputError(
                f"{self.folder} holds an evaluation with other settings ({_listed(names)}): "
                "give another folder, or delete this one"
            )

    def finished(self, chunk: int) -> bool:
        """Whether the part of a chunk is there, whole."""
        return self._path(chunk).is_dir()

    def add(self, chunk: int, tables: Mapping[str, Rows]) -> None:
        """Commit the tables of a chunk, all or nothing; rows as in ``tables.TABLES``."""
        draft = self._parts / f".draft-{uuid.uuid4().hex}"
        draft.mkdir()
        for name in TABLES:
            path = draft / f"{name}.parquet"
            write(path, name, tables.get(name, ()))
            sync(path)
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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "an older record"
