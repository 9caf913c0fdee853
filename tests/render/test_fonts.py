from __future__ import annotations

import pytest

from lxt_like.render import fonts


def test_base_font_is_always_there() -> None:
    assert fonts.families()[0] == "DejaVu Sans"


def test_widths_add_up_and_grow_with_size() -> None:
    assert fonts.measure("nn", 12) == pytest.approx(2 * fonts.measure("n", 12), rel=1e-2)
    assert fonts.measure("film", 24) == pytest.approx(2 * fonts.measure("film", 12), rel=1e-2)
    assert fonts.measure("film", 12, bold=True) > fonts.measure("film", 12)
    assert fonts.measure("a ", 12) > fonts.measure("a", 12)
    assert fonts.measure("", 12) == 0.0


def test_missing_characters_become_one_box_each() -> None:
    private = "\U0010fff0"  # for private use: no font has it
    assert fonts.printable(f"a{private}b{private}") == "a□b□"
    assert fonts.printable(f"{private}\u200d{private}") == "□"  # one joined sequence
    assert fonts.printable("naïve кино") == "naïve кино"
    assert fonts.has_missing(private)
    assert not fonts.has_missing("naïve\ufe0f")
