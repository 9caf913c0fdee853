from __future__ import annotations

from typing import Any

import pytest
from transformers import BertForMaskedLM, BertForQuestionAnswering, BertForTokenClassification

from .. import makers

TAGS = {0: "O", 1: "PER", 2: "LOC"}


@pytest.fixture(scope="session")
def filler(wordpiece: Any) -> Any:
    return makers.encoder(BertForMaskedLM, wordpiece)


@pytest.fixture(scope="session")
def tagger(wordpiece: Any) -> Any:
    names = {"id2label": TAGS, "label2id": {name: i for i, name in TAGS.items()}}
    return makers.encoder(BertForTokenClassification, wordpiece, **names)


@pytest.fixture(scope="session")
def answerer(wordpiece: Any) -> Any:
    return makers.encoder(BertForQuestionAnswering, wordpiece)
