"""A finished evaluation: prints as a table, and writes the page, the tables and the summary."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .counted import counted
from .gallery import galleries, mean_maps
from .html import to_html
from .latex import to_latex
from .numbers import Column, plain
from .store import replace
from .summary import Summary, dumps, load_summary
from .tables import make, read

if TYPE_CHECKING:
    import pyarrow as pa

FILES = ("per_sample", "curves", "relevance", "samples")


@dataclass(frozen=True)
class Report:
    """What :func:`lxt.evaluate` found.

    Attributes:
        summary: everything in ``summary.json``: a dict of plain values.
        tables: the rows of every sample, as ``pyarrow`` tables by name: ``per_sample``,
            ``curves``, ``relevance``, ``samples``.
        folder: where the report was written, if it was.
    """

    summary: Summary
    tables: Mapping[str, pa.Table]
    folder: Path | None = None

    @property
    def table(self) -> list[dict[str, Any]]:
        """The headline: one dict for each operator and method, best first."""
        order = {name: i for i, name in enumerate(self.summary["operators"])}
        rows: list[dict[str, Any]] = self.summary["table"]
        return sorted(rows, key=lambda row: (order[row["operator"]], -_mean(row)))

    @property
    def per_sample(self) -> Any:
        """A pandas ``DataFrame``, one row for each sample, method, seed and operator."""
        return self.tables["per_sample"].to_pandas()

    @property
    def skipped(self) -> list[dict[str, Any]]:
        """Samples that could not be evaluated, with the reason."""
        found: list[dict[str, Any]] = self.summary["data"]["skipped"]
        return found

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``report.html``, ``summary.json``, ``table.tex`` and the Parquet tables.

        Each file is replaced at once, so a reader never sees half of one.

        Raises:
            InputError: the folder cannot be written.
        """
        target = Path(folder)
        try:
            target.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                replace(target / f"{name}.parquet", _parquet(self.tables[name]))
            replace(target / "table.tex", to_latex(self.table).encode())
            replace(target / "report.html", self.to_html().encode())
            replace(target / "summary.json", dumps(self.summary).encode())
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InputError(f"cannot write the report to {target}: {reason}") from error
        return target

    def to_html(self) -> str:
        """The page, self-contained."""
        rows = {name: self.tables[name].to_pylist() for name in FILES if name != "curves"}
        reference, operators = self.summary["reference"], self.summary["operators"]
        shown = galleries(
            rows["per_sample"],
            rows["samples"],
            rows["relevance"],
            reference,
            operators[0] if operators else "",
        )
        maps = mean_maps(rows["samples"], rows["relevance"], reference)
        return to_html(self.summary, shown, maps, "How faithful are the explanations?")

    def __str__(self) -> str:
        return text_table(self.summary, self.table)

    def __repr__(self) -> str:
        made = self.summary
        return (
            f"Report({counted(made['predictions']['samples'])}, "
            f"{counted(len(made['methods']), 'method')}, operators {', '.join(made['operators'])})"
        )

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"


def load_report(folder: str | os.PathLike[str]) -> Report:
    """A report that :meth:`Report.save` or :func:`lxt.evaluate` wrote.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = Path(folder)
    summary = load_summary(path / "summary.json")
    return Report(summary, {name: read(path / f"{name}.parquet", name) for name in FILES}, path)


def report_of(summary: Summary, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Report:
    """A report of rows in memory."""
    return Report(summary, {name: make(name, rows.get(name, ())) for name in FILES})


def text_table(summary: Summary, table: Sequence[Mapping[str, Any]]) -> str:
    """The headline for a terminal."""
    known, labelled = summary["predictions"], summary["predictions"]["labelled"]
    said = counted(known["samples"])
    lines = [f"{summary['model']['name']} on {summary['data']['name']}: {said}"]
    if labelled:
        lines[0] += f", {known['correct'] / labelled:.1%} of {labelled} predicted right"
    lines += [f"note: {note}" for note in summary["data"]["notes"]]
    columns = {
        operator: Column.of_estimates(row for row in table if row["operator"] == operator)
        for operator in summary["operators"]
    }
    for operator in summary["operators"]:
        rows = [row for row in table if row["operator"] == operator]
        column = columns[operator]
        cells = [("", "SRG", "95 % interval", "median", "ms", "MB")]
        for row in rows:
            own = column.row(row)
            shown = own.number(row["mean"]), own.interval(row), own.number(row["median"])
            time, size = plain(row["milliseconds"]), plain(row["megabytes"])
            cells.append((row["method"], *shown, time, size))
        wide, *others = [max(map(len, cell)) for cell in zip(*cells, strict=True)]
        lines += ["", f"removal by {operator}"]
        for name, *parts in cells:
            line = "".join(
                f"  {part:<{size}}" if i == 1 else f"  {part:>{max(size, 6)}}"
                for i, (part, size) in enumerate(zip(parts, others, strict=True))
            )
            lines.append(f"  {name:<{wide}}{line}")
    for gate in summary["validity"]:
        if gate["passed"] is False:
            own = columns[gate["operator"]].row(gate)
            lines.append(
                f"\nnot valid: under {gate['operator']} a random order has SRG "
                f"{own.number(gate['mean'])} ({own.interval(gate)}), which should contain 0"
            )
    for row in summary["left_out"]:
        lines.append(f"left out: {row['method']} ({row['reason']})")
    if skipped := summary["data"]["skipped"]:
        lines.append(f"{counted(len(skipped))} skipped, the first: {skipped[0]['sample']}: "
                     f"{skipped[0]['reason']}")  # fmt: skip
    return "\n".join(lines)


def _mean(row: Mapping[str, Any]) -> float:
    return float("-inf") if row["mean"] is None else float(row["mean"])


def _parquet(table: pa.Table) -> bytes:
    import io

    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()
