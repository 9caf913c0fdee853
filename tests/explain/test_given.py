"""Targets and texts as people hold them: arrays, tables, probabilities of their head."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import lxt_like as lxt
from lxt_like.errors import InputError, TargetError
from lxt_like.explain.text import explain_text as explain
from lxt_like.targets import LogOdds, LogProb

from . import makers
from .agreement import closes


def test_the_log_probability_of_a_label_is_that_of_the_probability_shown(wordpiece: Any) -> None:
    labels = makers.bert(wordpiece, 3, problem_type="multi_label_classification")
    for target, score in ((LogProb(1), math.log), (LogOdds(1), lambda p: math.log(p / (1 - p)))):
        ex = explain(labels, "A film.", target=target, tokenizer=wordpiece)
        assert ex.target.probability is not None
        assert ex.target.score == pytest.approx(score(ex.target.probability), abs=1e-5)
        closes(ex)
        assert ex.account is not None
        assert ex.account.gap == pytest.approx(0, abs=1e-4)
    for outputs, fields in ((1, {}), (2, {"problem_type": "regression"})):
        values = makers.bert(wordpiece, outputs, **fields)
        with pytest.raises(TargetError):
            explain(values, "A film.", target=LogProb(0), tokenizer=wordpiece)


def test_an_array_of_targets_is_a_list_of_them(classifier: Any, wordpiece: Any) -> None:
    texts = ["a film", "bad"]
    for given in ([2, 0], ["mixed", "bad"], [-1, 0]):
        many = explain(classifier, texts, target=np.array(given), tokenizer=wordpiece)
        assert many == explain(classifier, texts, target=given, tokenizer=wordpiece)
        assert [ex.target.label for ex in many] == ["mixed", "bad"]
    one = explain(classifier, "a film", target=np.array(2), tokenizer=wordpiece)
    assert one.target.index == 2
    with pytest.raises(InputError, match="expected one target for the text, got 2 entries"):
        explain(classifier, "a film", target=np.array([0, 1]), tokenizer=wordpiece)


@pytest.mark.parametrize("window", [None, 6])
def test_a_list_of_targets_is_one_of_lists(
    classifier: Any, wordpiece: Any, window: int | None
) -> None:
    texts = ["a film", "bad", "a good film that is not dull and not bad"]
    several = [lxt.Contrast(0, 1), lxt.Contrast(2, 0), lxt.Contrast("mixed", "good")]
    options: dict[str, Any] = {"tokenizer": wordpiece, "window": window, "stride": 0}
    if window is None:
        del options["stride"]
    many = explain(classifier, texts, target=several, **options)
    joined = lxt.Contrast([0, 2, "mixed"], [1, 0, "good"])
    assert many == explain(classifier, texts, target=joined, **options)
    for text, target, one in zip(texts, several, many, strict=True):
        alone = explain(classifier, text, target=target, **options)
        assert one.target.label == alone.target.label
        assert one.target.score == pytest.approx(alone.target.score, abs=1e-5)
    with pytest.raises(TargetError, match="one target for each of the 3 texts, got 2 entries"):
        explain(classifier, texts, target=several[:2], **options)
    with pytest.raises(InputError, match="one kind of target for all texts, got Contrast, Logit"):
        explain(classifier, texts, target=[*several[:2], 1], **options)


def test_a_table_is_no_list_of_texts(classifier: Any, wordpiece: Any) -> None:
    datasets, pandas = pytest.importorskip("datasets"), pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    columns = {"label": [0, 1], "text": ["a film", "bad"]}
    data = datasets.Dataset.from_dict(columns)
    for given, hint in (
        (data, "ds['text']"),
        (data.to_iterable_dataset(), "ds['text']"),
        (datasets.DatasetDict({"test": data}), "ds['test']['text']"),
        (data.rename_column("text", "body"), "ds['label']"),
        (pandas.DataFrame(columns), "df['text']"),
        (pyarrow.table(columns), "ds['text']"),
    ):
        with pytest.raises(
            InputError, match=r"a table with the columns label.* " + re.escape(hint)
        ):
            lxt.explain(classifier, given, tokenizer=wordpiece)
    with pytest.raises(InputError, match=r"a table with the columns text: give .* df\['text'\]"):
        lxt.explain(classifier, ["a"], pair=pandas.DataFrame({"text": ["b"]}), tokenizer=wordpiece)
    for column in (data["text"], pandas.Series(columns["text"])):
        assert len(lxt.explain(classifier, column, tokenizer=wordpiece)) == 2
