from __future__ import annotations

import pytest

from lxt_like.render.escape import one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x00\x07\x7f\x9b", "\\x00\\x07\\x7f\\x9b"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("\ud800", "\\ud800"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\u200b\ufeff\u00ad", "\\u200b\\ufeff\\xad"),
        ("\U000e0001", "\\U000e0001"),
        ("\uffff", "\\uffff"),
        ("a\nb\tc", "a\nb\tc"),
        ("a\r\nb\rc", "a\nb\\x0dc"),
        ("👩‍👩‍👧 می‌خواهم naïve 電影", "👩‍👩‍👧 می‌خواهم naïve 電影"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_one_line_keeps_no_line_break() -> None:
    assert one_line("a\r\nb\tc") == "a\\x0d\\x0ab\\x09c"
