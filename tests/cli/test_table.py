"""Tables at every width."""

from __future__ import annotations

import pytest

from lxt_like.cli.table import Column, table

COLUMNS = [Column("module"), Column("type", spared=True), Column("rule"), Column("kept", True)]
LONG = "encoder.layer.0.attention.self.query"
ROWS = [(LONG, "Linear", "Epsilon(eps=0.0)", "+0.25"), ("out", "Linear", "Taylor()", "-1")]


def test_as_wide_as_needed() -> None:
    assert table(COLUMNS, ROWS) == "\n".join(
        [
            "module                                type    rule               kept",
            "------------------------------------  ------  ----------------  -----",
            "encoder.layer.0.attention.self.query  Linear  Epsilon(eps=0.0)  +0.25",
            "out                                   Linear  Taylor()             -1",
        ]
    )
    assert table(COLUMNS, ROWS, 69) == table(COLUMNS, ROWS)


def test_a_column_is_spared_first() -> None:
    shown = table(COLUMNS, ROWS, 68).splitlines()
    assert shown[0].split() == ["module", "rule", "kept"]
    assert LONG in shown[2]


def test_then_paths_lose_their_beginning() -> None:
    shown = table(COLUMNS, ROWS, 57).splitlines()
    assert shown[2].split() == ["…" + LONG[-31:], "Epsilon(eps=0.0)", "+0.25"]
    assert max(map(len, shown)) == 57


def test_then_rows_become_blocks() -> None:
    assert table(COLUMNS, ROWS, 26).splitlines() == [
        "encoder.layer.0.attention.",
        "    self.query",
        "  Epsilon(eps=0.0)",
        "  kept +0.25",
        "out",
        "  Taylor() kept -1",
    ]


@pytest.mark.parametrize("width", range(20, 75))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for line in table(COLUMNS, ROWS, width).splitlines():
        assert len(line) <= width


def test_cells_cannot_act_and_an_empty_table_is_a_header() -> None:
    assert "\x1b" not in table(COLUMNS, [("\x1b[31m", "a\nb", "", "")])
    assert len(table(COLUMNS, []).splitlines()) == 2
