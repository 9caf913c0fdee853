"""``table.tex``: the headline as a LaTeX table for a paper, with booktabs rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..render.latex import escape
from .numbers import Column


def to_latex(table: Sequence[Mapping[str, Any]]) -> str:
    """Rows as in ``Report.table``: a tabular, methods down and operators across.

    Each cell is the mean SRG with its 95 % interval below in small type; the best mean of an
    operator is bold.  It needs ``\\usepackage{booktabs}``.
    """
    operators = list(dict.fromkeys(row["operator"] for row in table))
    methods = list(dict.fromkeys(row["method"] for row in table))
    cells = {(row["method"], row["operator"]): row for row in table}
    best = {
        operator: max(
            (
                row["mean"]
                for row in table
                if row["operator"] == operator and row["mean"] is not None
            ),
            default=None,
        )
        for operator in operators
    }
    columns = {o: Column.of_estimates(r for r in table if r["operator"] == o) for o in operators}
    lines = [
        r"% needs \usepackage{booktabs}; mean SRG with its 95 % BCa interval over samples",
        rf"\begin{{tabular}}{{l{'r' * len(operators)}r}}",
        r"\toprule",
        " & ".join(["method", *map(escape, operators), "ms"]) + r" \\",
        r"\midrule",
    ]
    for method in methods:
        rows = [cells.get((method, operator)) for operator in operators]
        values = [_cell(row, best[o], columns[o]) for row, o in zip(rows, operators, strict=True)]
        times = [row["milliseconds"] for row in rows if row and row["milliseconds"] is not None]
        values.append(f"{times[0]:.3g}" if times else "--")
        lines.append(" & ".join([escape(method), *values]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(row: Mapping[str, Any] | None, best: float | None, column: Column) -> str:
    if row is None or row["mean"] is None:
        return "--"
    column = column.row(row)
    mean = _minus(column.number(row["mean"]))
    if row["mean"] == best:
        mean = rf"\textbf{{{mean}}}"
    if row["low"] is None:
        return mean
    low, high = (_minus(column.number(row[name])) for name in ("low", "high"))
    return rf"{mean} {{\scriptsize [{low}, {high}]}}"


def _minus(shown: str) -> str:
    """A number with a proper minus sign."""
    return shown.replace("-", "$-$")
