"""Tables in memory: their rows are the samples."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pytest

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.evaluate.columns import Columns
from lxt_like.evaluate.data import open_source
from lxt_like.evaluate.labels import Labels


class Frame:
    """As polars has them."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns, self._columns = [*columns], columns

    def to_dicts(self) -> list[dict[str, Any]]:
        rows = zip(*self._columns.values(), strict=True)
        return [dict(zip(self.columns, row, strict=True)) for row in rows]

    def __iter__(self) -> Any:
        return iter(self.columns)


def tables(columns: dict[str, list[Any]]) -> dict[str, Any]:
    import pandas as pd
    import pyarrow as pa

    return {
        "pandas": pd.DataFrame(columns),
        "pyarrow": pa.table(columns),
        "polars": Frame(columns),
        "lists": columns,
        "arrays": {name: np.array(values, dtype=object) for name, values in columns.items()},
        "by split": {"train": Frame({"text": ["z"]}), "test": pd.DataFrame(columns)},
    }


@pytest.mark.parametrize("library", tables({"text": ["a"]}))
def test_tables_in_memory(library: str) -> None:
    columns = {
        "review": ["good film", None, "dull"],
        "features": [1, 2, 3],
        "mood": ["x", "y", "z"],
    }
    table = tables(columns)[library]
    found = [*open_source(table, Columns(label="mood")).samples()]
    assert [(s.id, s.content, s.label) for s in found if s.fault is None] == [
        ("0", "good film", "x"), ("2", "dull", "z"),
    ]  # fmt: skip
    assert found[1].fault == "expected a text or image in the column 'review', got None"
    with pytest.raises(
        InputError, match=r"no column 'x' in a table; it has review, features, mood"
    ):
        open_source(table, Columns(content="x"))
    with pytest.raises(InputError, match=r"which column of a table .* It has who, what"):
        open_source(tables({"who": ["a", "b"], "what": ["c", "d"]})[library])
    with pytest.raises(InputError, match="no samples in a table"):
        open_source(tables({"text": []})[library])


def test_a_table_is_evaluated_and_tuned_by_its_rows() -> None:
    texts = [*lxt.demo.reviews(), *lxt.demo.reviews()][:8]
    table = tables({"text": texts, "label": [0, 1] * 4})["pandas"]
    report = lxt.evaluate(lxt.demo.sentiment(), table, methods=["random"], steps=2)
    rows = report.tables["samples"].to_pylist()
    assert len(rows) == 8
    assert report.summary["predictions"]["labelled"] == 8
    assert lxt.tune(lxt.demo.sentiment(), table, budget=1, steps=2).samples == (4, 4)


def test_dicts_that_are_no_table() -> None:
    with pytest.raises(
        InputError, match=r"of columns, each a list, got str under 'text': a single"
    ):
        open_source({"text": "a film", "label": 1})
    with pytest.raises(InputError, match="columns of one length, got text 2, label 1"):
        open_source({"text": ["a", "b"], "label": [1]})


def test_a_column_of_a_data_set_is_a_list() -> None:
    column = datasets.Dataset.from_dict({"text": ["a b", "c"], "label": [0, 1]})["text"]
    assert [s.content for s in open_source(column).samples()] == ["a b", "c"]


def test_labels_beside_a_gap_are_whole_numbers() -> None:
    labels = Labels(["bad", "good"])
    assert [labels.index(t) for t in ("1.0", " 0.0 ", "1", "1.5", "2.0")] == [1, 0, 1, None, None]
