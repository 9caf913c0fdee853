from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lxt_like.errors import InputError
from lxt_like.evaluate.columns import Columns
from lxt_like.evaluate.data import open_source
from lxt_like.evaluate.delimited import csv_rows, tsv_rows


def listed(data: Any, *options: Any) -> list[tuple[Any, Any]]:
    return [(s.content, s.label) for s in open_source(data, *options).samples()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str, tmp_path: Path) -> None:
    rows = [["Text", "stars"], ["Good, I; think", "5"], ["a|b\tc", "1"], ['"q"', "2"]]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    found = listed(tmp_path / "a.csv", Columns(label="stars"))
    assert found == [(text, stars) for text, stars in rows[1:]]
    # a column that was named makes a header, too
    rows[0][0] = "comment"
    with (tmp_path / "b.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert listed(tmp_path / "b.csv", Columns(content="comment")) == [
        (t, None) for t, _ in rows[1:]
    ]
    with pytest.raises(InputError, match=r"b\.csv .*'comment', 'stars'.*\(--column\)"):
        open_source(tmp_path / "b.csv")


STRAY = """text,label
"Great film, I loved it,dog
second text here,cat
"quoted, and
""broken""
",dog
fourth "quoted" text,dog
"it" is,cat
fifth,cat
last "one,x
"""


def test_a_stray_quote_costs_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(STRAY)
    samples = [*open_source(tmp_path / "a.csv").samples()]
    assert [(s.id, s.content, s.label) for s in samples if s.fault is None] == [
        ("line 3", "second text here", "cat"), ("line 4", 'quoted, and\n"broken"\n', "dog"),
        ("line 7", 'fourth "quoted" text', "dog"), ("line 8", '"it" is', "cat"),
        ("line 9", "fifth", "cat"),
        ("line 10", 'last "one', "x"),
    ]  # fmt: skip
    faults = {s.id: s.fault for s in samples if s.fault is not None}
    said = "a quote opens a field, and none closes it at its end"
    assert faults == {"line 2": said}
    # a quote that another closes by chance: what it swallows is named
    (tmp_path / "b.csv").write_text('text,label\n"a film,x\nb,y\nof 5",z,w\nc,z\n')
    samples = [*open_source(tmp_path / "b.csv").samples()]
    assert [s.content for s in samples if s.fault is None] == ["c"]
    assert samples[0].fault == "expected 2 columns, got 3; a field in quotes runs on to line 4"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.text('ab", ;\t\n|', max_size=6), min_size=2, max_size=2), max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_is_written_as_a_table_is_read_as_it_was(
    rows: list[list[str]], delimiter: str, quoting: Any
) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(rows)
    expected = [row for row in rows if any(cell.strip() for cell in row)]
    assert [row for _, row in csv_rows(out.getvalue(), delimiter)] == expected
    if delimiter == "\t" and not any({*cell} >= {"\t", "\n"} for row in rows for cell in row):
        head = "text\tlabel\n"
        assert [row for _, row in tsv_rows(head + out.getvalue())][1:] == expected


def test_quotes_of_a_tsv(tmp_path: Path) -> None:
    def file(text: str) -> list[tuple[Any, Any]]:
        (tmp_path / "a.tsv").write_text(text)
        return listed(tmp_path / "a.tsv")

    head = "text\tlabel\n"
    assert file(head + '"He said ""hi"""\t1\n"a\tb"\t0\n"two\nlines"\t0\n') == [
        ('He said "hi"', "1"), ("a\tb", "0"), ("two\nlines", "0"),
    ]  # fmt: skip
    # as in SST-2: a sentence begins or ends with a quote, or holds doubled ones
    plain = ['"lone start', 'its end"', '`` x "" y', '"a" b', '"', '""', 'a "" b"', "c"]
    pairs = [(text, str(i % 2)) for i, text in enumerate(plain)]
    assert file(head + "".join(f"{t}\t{n}\n" for t, n in pairs)) == [
        (text if text != '""' else "", n) for text, n in pairs
    ]
    turned = file("label\ttext\n" + "".join(f"{n}\t{t}\n" for t, n in pairs if t != '""'))
    assert turned == [pair for pair in pairs if pair[0] != '""']
    # without a header, and with texts alone
    assert file('"lone\t1\nend"\t0\n') == [('"lone', "1"), ('end"', "0")]
    assert file('"lone\nend"\n') == [('"lone', None), ('end"', None)]


def test_tables_without_a_header(tmp_path: Path) -> None:
    def file(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    assert listed(file("a.tsv", "Good; fine\t1\nBad, no\t0\n")) == [
        ("Good; fine", "1"), ("Bad, no", "0"),
    ]  # fmt: skip
    assert listed(file("b.csv", "Good film\nBad; film\n")) == [
        ("Good film", None),
        ("Bad; film", None),
    ]
    with pytest.raises(InputError, match=r"which column of c\.csv .* 'Good', '1'"):
        open_source(file("c.csv", "Good,1\nBad,0\n"))
    with pytest.raises(InputError, match=r"which column of c\.tsv .* 'a', 'b', 'c'"):
        open_source(file("c.tsv", "a\tb\tc\nd\te\tf\n"))
