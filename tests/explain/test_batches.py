"""Many texts: which go together, and that it makes no difference."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from lxt_like.explain.text import explain_text as explain

from . import makers
from .agreement import closes, same
from .stand_in import Engine


@pytest.mark.parametrize(("ledger", "sizes"), [(True, [8, 4]), (False, [12])])
def test_as_many_at_once_as_is_fastest(
    engine: Engine, classifier: Any, wordpiece: Any, ledger: bool, sizes: list[int]
) -> None:
    explain(classifier, ["film"] * 12, tokenizer=wordpiece, ledger=ledger)
    assert [len(b["input_ids"]) for b in engine.batches] == sizes


def test_batches_that_cannot_be_told_apart_go_on_one_by_one(
    engine: Engine, classifier: Any, wordpiece: Any
) -> None:
    engine.backwards = 9
    explain(classifier, ["film"] * 11, tokenizer=wordpiece)
    assert [len(b["input_ids"]) for b in engine.batches] == [8, 1, 1, 1]


def test_many_texts_keep_their_order(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    rng = random.Random(0)
    texts = [
        " ".join(rng.choices(["good", "film", "not", "x"], k=k))
        for k in rng.sample(range(1, 30), 21)
    ]
    many = explain(classifier, texts, tokenizer=wordpiece, batch_size=4)
    assert [ex.text for ex in many] == texts
    assert [len(b["input_ids"]) for b in engine.batches] == [4, 4, 4, 4, 4, 1]
    # like lengths go together: little padding
    assert sum(b["input_ids"].numel() for b in engine.batches) < 1.2 * sum(
        len(e.tokens) for e in many
    )
    for ex in many:
        closes(ex)
        same(ex, explain(classifier, ex.text, tokenizer=wordpiece))


def test_an_iterator_and_an_empty_list(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    assert explain(classifier, [], tokenizer=wordpiece) == []
    assert len(explain(classifier, iter(["a", "b"]), tokenizer=wordpiece)) == 2


def test_a_causal_classifier_with_and_without_padding(engine: Engine) -> None:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    tokenizer = makers.byte_bpe()
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}
    made = GPT2Config(vocab_size=len(tokenizer), **sizes)
    model = GPT2ForSequenceClassification(made).eval()
    texts = ["a film", "a", "a good film it was", "x film"]
    assert model.config.pad_token_id is None
    alone = explain(model, texts, tokenizer=tokenizer)
    assert [len(b["input_ids"]) for b in engine.batches] == [1, 1, 1, 1]
    model.config.pad_token_id = tokenizer.pad_token_id
    engine.batches.clear()
    together = explain(model, texts, tokenizer=tokenizer, batch_size=16)
    assert [len(b["input_ids"]) for b in engine.batches] == [4]
    tokenizer.padding_side = "left"
    left = explain(model, texts, tokenizer=tokenizer, batch_size=16)
    for a, b, c in zip(alone, together, left, strict=True):
        same(a, b)
        same(a, c)


def test_a_model_without_a_mask_is_never_padded(engine: Engine) -> None:
    from transformers import FNetConfig, FNetForSequenceClassification

    tokenizer = makers.wordpiece()
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 32}
    made = FNetConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)
    model = FNetForSequenceClassification(made).eval()
    texts = ["a b c", "x", "c b a", "a b"]
    for ex in explain(model, texts, tokenizer=tokenizer, batch_size=16):
        same(ex, explain(model, ex.text, tokenizer=tokenizer))
    assert sorted(len(b["input_ids"]) for b in engine.batches) == [1] * 6 + [2]
    assert "attention_mask" not in engine.batches[0]
