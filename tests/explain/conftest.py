from __future__ import annotations

from typing import Any

import pytest

from lxt_like.explain import engine as seam

from . import makers
from .stand_in import Engine


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The stand-in, in the one place where texts meet the attribution engine."""
    stand_in = Engine()
    monkeypatch.setattr(seam, "attribute", stand_in)
    return stand_in


@pytest.fixture(scope="session")
def wordpiece() -> Any:
    return makers.wordpiece()


@pytest.fixture(scope="session")
def classifier(wordpiece: Any) -> Any:
    return makers.bert(
        wordpiece, 3, id2label={0: "bad", 1: "good", 2: "mixed"}, label2id={"bad": 0}
    )


@pytest.fixture(scope="session")
def byte_bpe() -> Any:
    return makers.byte_bpe()


@pytest.fixture(scope="session")
def unigram() -> Any:
    return makers.unigram()


@pytest.fixture(scope="session")
def writer(byte_bpe: Any) -> Any:
    """A causal language model."""
    return makers.gpt2(byte_bpe)


@pytest.fixture(scope="session")
def translator(unigram: Any) -> Any:
    """An encoder-decoder."""
    return makers.t5(unigram)
