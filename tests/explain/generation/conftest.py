from __future__ import annotations

from typing import Any

import pytest

from ...models import zoo

PROMPT = "A gripping, funny"


@pytest.fixture(scope="session")
def models(writer: Any, byte_bpe: Any, translator: Any, unigram: Any) -> dict[str, Any]:
    """Name -> a model and its tokenizer."""
    return {
        "gpt2": (writer, byte_bpe),
        "llama": (zoo.build("llama", "causal-lm"), unigram),
        "t5": (translator, unigram),
        "bart": (zoo.build("bart", "seq2seq-lm"), unigram),
    }
