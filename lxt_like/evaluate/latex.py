"""``table.tex``: the headline as a LaTeX table for a paper, with booktabs rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..render.latex import escape


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
    lines = [
        r"% needs \usepackage{booktabs}; mean SRG with its 95 % BCa interval over samples",
        rf"\begin{{tabular}}{{l{'r' * len(operators)}r}}",
        r"\toprule",
        " & ".join(["method", *map(escape, operators), "ms"]) + r" \\",
        r"\midrule",
    ]
    for method in methods:
        rows = [cells.get((method, operator)) for operator in operators]
        values = [_cell(row, best[o]) for row, o in zip(rows, operators, strict=True)]
        times = [row["milliseconds"] for row in rows if row and row["milliseconds"] is not None]
        values.append(f"{times[0]:.3g}" if times else "--")
        lines.append(" & ".join([escape(method), *values]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _cell(row: Mapping[str, Any] | None, best: float | None) -> str:
    if row is None or row["mean"] is None:
        return "--"
    mean = f"{row['mean']:.2f}"
    if row["mean"] == best:
        mean = rf"\textbf{{{mean}}}"
    if row["low"] is None:
        return mean
    return rf"{mean} {{\scriptsize [{row['low']:.2f}, {row['high']:.2f}]}}"
