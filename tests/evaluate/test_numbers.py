from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lxt_like.evaluate.latex import to_latex
from lxt_like.evaluate.numbers import Column, plain
from lxt_like.evaluate.report import Report, report_of
from lxt_like.evaluate.summary import summarise

from . import invented

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?"


def row(mean: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, "median": mean}


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        (
            [row(5.404, 5.221, 5.58), row(-0.0021, -0.0042, -0.0011)],
            ["5.40 (5.22 … 5.58)", "-0.002 (-0.004 … -0.001)"],
        ),
        (
            [row(2.5, 2.0, 3.0), row(0.003, -0.004, 0.0104)],
            ["2.50 (2.00 … 3.00)", "0.003 (-0.004 … 0.010)"],
        ),
        ([row(2.5, 2.0, 3.0), row(0.003, -0.3, 0.3)], [
            "2.50 (2.00 … 3.00)", "0.00 (-0.30 … 0.30)"]),
        ([row(0.0031, -0.0002, 0.0101)], ["0.0031 (-0.0002 … 0.0101)"]),
        ([row(250.2, 230.0, 271.4), row(-0.2, -1.2, 0.9)], ["250 (230 … 271)", "0 (-1 … 1)"]),
        ([row(3.1e-5, -2e-6, 6e-5)], ["3.10e-05 (-2.00e-06 … 6.00e-05)"]),
        ([row(5.0, 5.0, 5.0), row(1e-9, 1e-12, 1.0)], [
            "5.00 (5.00 … 5.00)", "1.00e-09 (1.00e-12 … 1.00e+00)"]),
        ([row(0.0, 0.0, 0.0), row(1.0, None, None)], ["0.00 (0.00 … 0.00)", "1.00 (–)"]),
    ],
)  # fmt: skip
def test_a_column_has_one_scale(rows: list[dict[str, Any]], shown: list[str]) -> None:
    column = Column.of_estimates(rows)
    own = [(column.row(r), r) for r in rows]
    assert [f"{c.number(r['mean'])} ({c.interval(r)})" for c, r in own] == shown


@given(st.lists(st.tuples(*[st.floats(-1e4, 1e4, allow_subnormal=False)] * 3), min_size=1))
def test_an_interval_says_where_zero_lies(triples: list[tuple[float, float, float]]) -> None:
    rows = [row(mid, low, high) for low, mid, high in map(sorted, triples)]
    column = Column.of_estimates(rows)
    for one in rows:
        own = column.row(one)
        low, high = map(float, own.interval(one).split(" … "))
        assert (low <= 0 <= high) == (one["low"] <= 0 <= one["high"])
        assert (low < 0, high > 0) == (one["low"] < 0, one["high"] > 0)
        assert not re.search(r"-0(\.0*)?(?![.\de])", own.interval(one) + own.number(one["mean"]))


def test_numbers_by_themselves() -> None:
    given_ = (None, 0, 2.4e-5, 3, 12.0, 0.3141, 8.25, 4034.2)
    assert [plain(v) for v in given_] == ["–", "0", "< 0.001", "3", "12", "0.314", "8.25", "4034"]
    assert Column.of([3, 4]).number(3) == "3"
    assert Column.of([None, "text"]).number(None) == "–"


def nearly_random(shift: float) -> Report:
    """A random order that is off by a hair, beside methods far from it."""
    rows = invented.tables(40)
    for i, one in enumerate(rows["per_sample"]):
        if one["method"] == "random":
            one["srg"] = shift + (i % 7 - 3) * 1e-4
    summary = summarise(rows["per_sample"], rows["curves"], "attnlrp")
    summary |= {
        "lxt_like": "0.1.0",
        "model": {"name": "tiny", "labels": list(invented.LABELS)},
        "data": {"name": "a folder", "skipped": [], "notes": []},
        "settings": {"seed": 0},
        "left_out": [],
        "extras": [
            {
                "title": "Does it add up?",
                "help": "",
                "columns": ["method", "unexplained", "note"],
                "rows": [["attnlrp", 3.2e-8, ""], ["gradient", None, "failed"]],
            }
        ],
    }
    return report_of(summary, rows)


@pytest.mark.parametrize("shift", [-0.002, 0.0])
def test_a_report_does_not_contradict_itself(shift: float) -> None:
    made = nearly_random(shift)
    invalid = shift != 0
    assert [gate["passed"] for gate in made.summary["validity"]] == [not invalid] * 2
    interval = rf"({_NUMBER}) … ({_NUMBER})"
    text, page = str(made), made.to_html()
    assert ("not valid" in text) == invalid
    found = re.findall(rf"(?:random|SRG) .*?{interval}", text)
    found += re.findall(rf"SRG \S+ \({interval}\)", page)
    latex = to_latex(made.table).replace("$-$", "-").replace(", ", " … ")
    found += re.findall(rf"{interval}\]", next(x for x in latex.split("\n") if "random" in x))
    assert len(found) >= 4
    for low, high in found:
        assert (float(low) <= 0 <= float(high)) == (not invalid), (low, high)
    for shown in (text, page, latex):
        assert not re.search(r"-0\.0+(?!\d)", shown)
    assert "3.20e-08" in page


def test_latex_has_minus_signs_and_a_scale_for_each_operator() -> None:
    rows = nearly_random(-0.002).table
    line = next(x for x in to_latex(rows).split("\n") if x.startswith("random"))
    assert re.search(r"\$-\$0\.002 \{\\scriptsize \[\$-\$0\.00\d, \$-\$0\.00\d\]\}", line)
