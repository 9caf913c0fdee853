"""The columns of what an evaluation writes: one schema for parts and for the final files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

METRICS = (
    "srg",
    "insertion",
    "deletion",
    "comprehensiveness",
    "sufficiency",
    "aopc",
    "aopc_lerf",
    "srg_probability",
    "insertion_probability",
    "deletion_probability",
    "tau_loo",
    "mu_fidelity",
    "pointing_game",
    "mass_accuracy",
    "rank_accuracy",
    "auprc",
    "token_f1",
    "iou",
)
"""Numbers of one sample under one method and operator; those that were not asked for are null."""

CURVES = ("morf_logit", "lerf_logit", "morf_probability", "lerf_probability")


def _per_sample() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("sample", pa.string()),
            ("index", pa.int64()),
            ("method", pa.string()),
            ("seed", pa.int32()),
            ("operator", pa.string()),
            ("label", pa.string()),
            ("predicted", pa.string()),
            ("target", pa.string()),
            ("correct", pa.bool_()),
            ("units", pa.int32()),
            ("score", pa.float32()),
            ("probability", pa.float32()),
            *((name, pa.float32()) for name in METRICS),
            ("milliseconds", pa.float32()),
        ]
    )


def _curves() -> pa.Schema:
    import pyarrow as pa

    numbers = pa.list_(pa.float32())
    keys = [("sample", pa.string()), ("method", pa.string()), ("seed", pa.int32())]
    return pa.schema([*keys, ("operator", pa.string()), *((c, numbers) for c in ("k", *CURVES))])


def _relevance() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("sample", pa.string()),
            ("method", pa.string()),
            ("seed", pa.int32()),
            ("values", pa.list_(pa.float32())),
        ]
    )


def _samples() -> pa.Schema:
    """What a report shows of a sample: its words, or a small picture and the grid of patches."""
    import pyarrow as pa

    return pa.schema(
        [
            ("sample", pa.string()),
            ("index", pa.int64()),
            ("predicted", pa.string()),
            ("correct", pa.bool_()),
            ("words", pa.list_(pa.string())),
            ("thumbnail", pa.binary()),
            ("rows", pa.int32()),
            ("columns", pa.int32()),
        ]
    )


def _skipped() -> pa.Schema:
    """Samples that could not be read or evaluated, and why."""
    import pyarrow as pa

    return pa.schema([("sample", pa.string()), ("index", pa.int64()), ("reason", pa.string())])


def _failed() -> pa.Schema:
    """Methods that failed on a sample, and why."""
    import pyarrow as pa

    return pa.schema([("sample", pa.string()), ("method", pa.string()), ("reason", pa.string())])


TABLES: dict[str, Callable[[], pa.Schema]] = {
    "per_sample": _per_sample,
    "curves": _curves,
    "relevance": _relevance,
    "samples": _samples,
    "skipped": _skipped,
    "failed": _failed,
}


def make(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table; columns that a row leaves out are null.

    Raises:
        InputError: a row has a column that the table has not.
    """
    import pyarrow as pa

    schema = TABLES[name]()
    for row in rows:
        if extra := [key for key in row if key not in schema.names]:
            raise InputError(f"the table {name} has no column {extra[0]!r}")
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def write(path: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as a Parquet file."""
    from pyarrow import parquet

    parquet.write_table(make(name, rows), path)


def read(path: Path, name: str) -> pa.Table:
    """The table of a Parquet file.

    Raises:
        InputError: it has other columns, or is no Parquet file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_table(path, schema=TABLES[name]())
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is no table of an evaluation: {error}") from error
