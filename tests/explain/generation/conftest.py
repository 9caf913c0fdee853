from __future__ import annotations

from typing import Any

import pytest

from ...models import zoo
from .. import makers

PROMPT = "A gripping, funny"


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


@pytest.fixture(scope="session")
def models(writer: Any, byte_bpe: Any, translator: Any, unigram: Any) -> dict[str, Any]:
    """Name -> a model and its tokenizer."""
    return {
        "gpt2": (writer, byte_bpe),
        "llama": (zoo.build("llama", "causal-lm"), unigram),
        "t5": (translator, unigram),
        "bart": (zoo.build("bart", "seq2seq-lm"), unigram),
    }
