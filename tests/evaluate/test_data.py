from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.evaluate.columns import Columns
from lxt_like.evaluate.data import limited, open_source
from lxt_like.evaluate.labels import Labels
from lxt_like.evaluate.run import task_of
from lxt_like.evaluate.task import Row

from . import tiny


def listed(data: Any, *options: Any) -> list[tuple[Any, Any]]:
    return [(s.content, s.label) for s in open_source(data, *options).samples()]


def test_lists() -> None:
    assert listed(["a", "b"]) == [("a", None), ("b", None)]
    assert listed([("a", 1), ("b", "good")]) == [("a", 1), ("b", "good")]
    assert listed([{"text": "a", "label": "x"}]) == [("a", "x")]
    rows = [{"premise": "p", "hypothesis": "h", "label": 0}]
    assert listed(rows) == [(("p", "h"), 0)]
    picture = Image.new("RGB", (4, 4))
    source = open_source([(picture, "cat"), np.zeros((4, 4, 3), np.uint8)])
    assert (source.kind, source.total) == ("image", 2)
    assert open_source([["a", "b"]]).kind == "text"  # a list is a pair of texts


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "the list is empty"),
        ([("a", 1, 2)], "sample 0: .*a tuple of 3"),
        ([("a", 1.5)], "a label's name or index, got float"),
        ([3], "sample 0: expected a text or an image, got int"),
        (["a", Image.new("RGB", (2, 2))], "texts and images"),
        (7, "expected data to be"),
        ([{"a": 1}], "which column"),
        ("nowhere.tsv", "no such file"),
    ],
)
def test_what_is_no_data(data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_source(data)


def test_files_of_texts(tmp_path: Path) -> None:
    def file(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    assert listed(file("a.txt", "one\n\ntwo\n")) == [("one", None), ("two", None)]
    assert listed(file("a.tsv", 'say "hi\t1\nno\t0\n')) == [('say "hi', "1"), ("no", "0")]
    assert listed(file("b.tsv", "sentence\tlabel\nhi\tgood\n")) == [("hi", "good")]
    csv = file("a.csv", 'id,review,mood\n7,"a, b",good\n8,c,\n')
    assert listed(csv, Columns(label="mood")) == [("a, b", "good"), ("c", None)]
    assert [s.id for s in open_source(csv).samples()] == ["7", "8"]
    lines = [json.dumps({"text": "é\u2028", "label": 1}), "", json.dumps({"text": "b"})]
    assert listed(file("a.jsonl", "\n".join(lines))) == [("é\u2028", 1), ("b", None)]
    with pytest.raises(InputError, match=r"a\.csv has? ?.*|no column 'x' in a\.csv"):
        open_source(csv, Columns(content="x"))
    with pytest.raises(InputError, match=r"c\.tsv, line 2: expected 2 columns, got 1"):
        open_source(file("c.tsv", "text\tlabel\nb\n"))
    with pytest.raises(InputError, match=r"b\.jsonl, line 1: no JSON"):
        open_source(file("b.jsonl", "{"))
    (tmp_path / "latin.txt").write_bytes("a\né".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.txt is not UTF-8: byte 0xe9 in line 2.*iconv"):
        open_source(tmp_path / "latin.txt")
    (tmp_path / "wide.txt").write_bytes("é\r\nb".encode("utf-16"))
    assert listed(tmp_path / "wide.txt") == [("é", None), ("b", None)]
    with pytest.raises(InputError, match="no samples"):
        open_source(file("none.txt", "\n"))


def test_a_row_without_an_id_is_called_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\nx,a\n,b\n  ,c\n0,d\n")
    assert [s.id for s in open_source(tmp_path / "a.csv").samples()] == [
        "x", "line 3", "line 4", "0",
    ]  # fmt: skip
    rows = [{"id": name, "text": "a"} for name in (None, "", float("nan"), 0, "x")]
    assert [s.id for s in open_source(rows).samples()] == ["0", "1", "2", "0", "x"]


TABLES = {
    "a.jsonl": '{"text": "a"}\n\n{broken\n{"text": "b", "label": 1}\n[1]\n{"label": 0}\n',
    "a.tsv": "text\tlabel\na\t\n\nlonely\nb\t1\nx\ty\tz\n",
    "a.csv": 'text,label\n"a",\n"two\nlines",1\nlonely\nx,y,z\n',
}
BROKEN = {
    "a.jsonl": {3: "no JSON", 5: r"expected an object, got '\[1\]'", 6: "no column 'text'"},
    "a.tsv": {4: "expected 2 columns, got 1", 6: "expected 2 columns, got 3"},
    "a.csv": {5: "expected 2 columns, got 1", 6: "expected 2 columns, got 3"},
}


@pytest.mark.parametrize("name", TABLES)
def test_a_broken_row_is_skipped_by_its_line(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(TABLES[name])
    source = open_source(tmp_path / name)
    samples = [*source.samples()]
    assert source.total == len(samples)
    bad = {s.id: s.fault for s in samples if s.fault is not None}
    assert list(bad) == [f"line {i}" for i in BROKEN[name]]
    for fault, message in zip(bad.values(), BROKEN[name].values(), strict=True):
        assert re.match(message, str(fault))
    good = [(s.content, s.label) for s in samples if s.fault is None]
    second = "two\nlines" if name == "a.csv" else "b"
    assert [(text, label and str(label)) for text, label in good] == [("a", None), (second, "1")]


def test_a_bad_sample_of_a_list_is_skipped_by_its_index() -> None:
    given = [None, "a", ("b", 1), ("c", 1.5), 3, ("d", 1, 2), ("e", float("nan"))]
    samples = [*open_source(given).samples()]
    assert [(s.id, s.content, s.label) for s in samples if s.fault is None] == [
        ("1", "a", None), ("2", "b", 1), ("6", "e", None),
    ]  # fmt: skip
    assert [s.id for s in samples if s.fault is not None] == ["0", "3", "4", "5"]
    rows = [
        {"label": 1},
        {"text": "a", "label": 1.0},
        None,
        {"text": None},
        {"text": "b", "label": []},
    ]
    found = [*open_source(rows).samples()]
    assert found[1].label == 1
    faults = [s.fault for s in found]
    assert faults[0] == "no column 'text'"
    assert faults[1] is None
    assert faults[2] == "expected a row, got None"
    assert faults[4] == "expected a label's name or index, got list"


@pytest.mark.parametrize("columns", [None, Columns("premise", "hypothesis")])
def test_a_row_without_its_second_text_is_no_single_text(columns: Columns | None) -> None:
    rows = [
        {"premise": "p", "hypothesis": "h"},
        {"premise": "a film"},
        {"premise": "a film", "hypothesis": None},
        {"premise": None, "hypothesis": "h"},
        {"premise": "a film", "hypothesis": 3},
        {"premise": "a film", "hypothesis": "good"},
    ]
    found = [*open_source(rows, columns).samples()]
    assert [s.fault for s in found] == [
        None,
        "no column 'hypothesis'",
        "expected a text in the column 'hypothesis', got None",
        "expected a text or image in the column 'premise', got None",
        None,  # a task says what it expects
        None,
    ]
    report = lxt.evaluate(lxt.demo.sentiment(), rows, columns=columns, methods=["random"], steps=2)
    skipped = {s["sample"]: s["reason"] for s in report.summary["data"]["skipped"]}
    assert list(skipped) == ["1", "2", "3", "4"]
    assert skipped["4"] == "expected a text or a pair of texts, got int"


def test_a_pair_without_its_second_text_is_refused_by_the_task() -> None:
    task = task_of(lxt.demo.sentiment(), "text")
    with pytest.raises(InputError, match="sample 'x': expected a text or a pair of texts"):
        task.prepare([Row("x", ("a film", None))])


def test_a_run_lists_what_it_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(TABLES["a.jsonl"])
    for data, where in ((tmp_path / "a.jsonl", "line 3"), ([None, "a film", "b"], "0")):
        report = lxt.evaluate(lxt.demo.sentiment(), data, methods=["random"], steps=2)
        skipped = report.summary["data"]["skipped"]
        assert skipped[0]["sample"] == where
        assert report.summary["predictions"]["samples"] == 2
    with pytest.raises(InputError, match="sample 0: expected a text or an image, got NoneType"):
        lxt.evaluate(lxt.demo.sentiment(), [None, None])


def test_folders_of_images(tmp_path: Path) -> None:
    folder = tiny.pictures(tmp_path, 4)
    (folder / ".hidden.png").write_bytes(b"x")
    Image.new("RGB", (2, 2)).save(folder / "flat.JPG")
    source = open_source(folder)
    assert [(s.id, s.label) for s in source.samples()] == [
        ("Sea_Lion/01.png", "Sea_Lion"), ("Sea_Lion/03.png", "Sea_Lion"),
        ("cat/00.png", "cat"), ("cat/02.png", "cat"), ("flat.JPG", None),
    ]  # fmt: skip
    assert open_source(folder / "flat.JPG").total == 1
    # a changed file is other data
    key = source.key
    (folder / "flat.JPG").write_bytes(b"")
    assert open_source(folder).key != key


def test_an_image_that_is_missing_is_that_samples_fault(tmp_path: Path) -> None:
    tiny.pictures(tmp_path, 2)
    there = str(tmp_path / "cat" / "00.png")
    for given in ([there, "nope.jpg"], ["nope.jpg", there], [("nope.jpg", "cat"), there]):
        source = open_source(given)
        assert (source.kind, source.total) == ("image", 2)
        skipped = lxt.evaluate(lxt.demo.vit(), given, methods=["random"], steps=2).skipped
        assert [s["reason"] for s in skipped] == ["no such image file: 'nope.jpg'"]
    # by suffix alone, unless there are texts
    assert open_source(["nope.jpg"]).kind == "image"
    assert open_source(["nope.jpg", "a good film"]).kind == "text"
    with pytest.raises(InputError, match="texts and images"):
        open_source([there, "a good film"])
    with pytest.raises(InputError, match=r"no such file or folder: 'nope\.jpg'"):
        open_source("nope.jpg")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_paths_in_a_table_start_where_it_lies(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.pictures(tmp_path / "data", 2)
    tiny.pictures(tmp_path / "cwd" / "more", 2)
    monkeypatch.chdir(tmp_path / "cwd")
    paths = ["nope.jpg", "cat/00.png", "more/cat/00.png", str(folder / "Sea_Lion" / "01.png"), ""]
    for column in ("image", "Img", "file"):
        rows = [{column: path, "label": "cat"} for path in paths]
        table = folder / f"table.{suffix}"
        if suffix == "csv":
            table.write_text("\n".join([f"{column},label", *(f"{p},cat" for p in paths)]))
        else:
            table.write_text("\n".join(map(json.dumps, rows)))
        columns = Columns(content="file") if column == "file" else None
        source = open_source(table, columns)
        assert source.kind == "image"
        assert [s.content for s in source.samples()] == [
            "nope.jpg", str(folder / "cat" / "00.png"), "more/cat/00.png", paths[3], "",
        ]  # fmt: skip
        report = lxt.evaluate(lxt.demo.vit(), source, methods=["random"], steps=2)
        assert report.summary["predictions"]["samples"] == 3
        assert len(report.skipped) == 2
    # a list's and a data frame's paths start in the working directory
    assert [s.content for s in open_source([{"image": "cat/00.png"}]).samples()] == ["cat/00.png"]


def test_images_are_known_by_their_size_wherever_they_are_named(tmp_path: Path) -> None:
    path = tiny.pictures(tmp_path, 1) / "cat" / "00.png"

    def keys() -> list[str]:
        return [str(open_source(given).key) for given in (
            [str(path)], [path], [{"image": str(path)}], tmp_path,
            [{"image": {"bytes": None, "path": str(path)}}],
        )]  # fmt: skip

    before = keys()
    assert before == keys()
    path.write_bytes(path.read_bytes() + b"more")
    assert all(old != new for old, new in zip(before, keys(), strict=True))


def test_data_sets(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    data = datasets.Dataset.from_dict({"sentence": ["a", "b"], "label": [1, 0]}, features)
    assert listed(data) == [("a", "good"), ("b", "bad")]
    both = datasets.DatasetDict({"train": data, "test": data.select([0])})
    assert open_source(both).notes == ("split test",)
    assert open_source(both, None, "train").total == 2
    with pytest.raises(InputError, match="no split 'x'; there are train, test"):
        open_source(both, None, "x")
    both.save_to_disk(tmp_path / "saved")
    assert listed(tmp_path / "saved") == [("a", "good")]
    stream = data.to_iterable_dataset()
    assert open_source(stream).total is None
    assert listed(limited(open_source(stream), 1).samples and stream) == listed(data)
    assert len([*limited(open_source(stream), 1).samples()]) == 1


def test_a_bad_image_of_a_data_set_stops_nobody() -> None:
    import datasets

    data = datasets.Dataset.from_dict({"image": [{"bytes": b"junk", "path": None}]})
    data = data.cast_column("image", datasets.Image())
    source = open_source(data)
    assert source.kind == "image"
    assert [s.content["bytes"] for s in source.samples()] == [b"junk"]


def test_a_draw_is_random_and_repeatable() -> None:
    source = open_source([f"t{i}" for i in range(100)])
    one, other = ([s.content for s in limited(source, 10, seed).samples()] for seed in (0, 1))
    assert one == [s.content for s in limited(source, 10, 0).samples()]
    assert one != other
    assert len(one) == 10
    assert one != [f"t{i}" for i in range(10)]
    assert [int(t[1:]) for t in one] == sorted(int(t[1:]) for t in one)
    assert limited(source, 100) is source
    with pytest.raises(InputError, match="at least 1, got 0"):
        limited(source, 0)


def test_a_stream_is_not_read_to_its_end() -> None:
    from lxt_like.evaluate.data import Given, Source

    def endless() -> Any:
        i = 0
        while True:
            yield Given(str(i), f"t{i}")
            i += 1

    source = Source("endless", "text", endless, None, "endless")
    assert len([*limited(source, 5).samples()]) == 5


def test_labels_fit_by_name() -> None:
    labels = Labels(["tabby, tabby cat", "sea lion", "crane", "crane", "7"])
    assert labels.index("Tabby-Cat") == 0
    assert labels.index("SEA_LION ") == 1
    assert labels.index("crane") == 2
    assert labels.index("7") == 4
    assert labels.index("1") == labels.index(1) == 1
    assert labels.index(7) is None  # an int is an index, though a class is called 7
    assert Labels(["2", "0", "1"]).index(1) == 1
    assert Labels(["2", "0", "1"]).index("1") == 2
    assert Labels(["US", "us", "x"]).index("us") == 1
    assert Labels(["2", "0", "1"]).index("-1") is None
    assert labels.index("dog") is None
    assert labels.index(9) is None
    assert labels.index(-1) is None
    assert labels.index(None) is None


def test_a_key_tells_masks_and_pictures_of_equal_bytes_apart() -> None:
    picture = np.arange(48, dtype=np.uint8)
    big = np.zeros((40, 40), dtype=np.uint8)
    marked = big.copy()
    marked[20, 20] = 1
    masks: list[Any] = [big, marked, torch.from_numpy(marked).bool(), [*marked], None]
    keys = [
        open_source([{"image": picture.reshape(shape), "mask": mask}], Columns(mask="mask")).key
        for shape in ((4, 4, 3), (2, 8, 3))
        for mask in masks
    ]
    assert len({str(key) for key in keys}) == 10
