"""Texts of one batch get the explanation that each gets alone, also if a model reads padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

import lxt_like as lxt
from lxt_like.evaluate.text import TextTask
from lxt_like.explain.padding import reached, same_predictions
from tests.models.zoo import TASKS, randomised, tiny_config

from . import makers

LONG = "the dull film was not good, not funny and not gripping at all ... a b c d"
TEXTS = ["a film, not good", "x, y", LONG]


def model_of(kind: str, task: str, tokenizer: Any) -> Any:
    """Random; its padding embeds as zeros, as transformers makes and trains it."""
    fields = {"num_labels": 2} if task == "question-answering" else {}
    config = tiny_config(kind, vocab_size=len(tokenizer), pad_token_id=0, **fields)
    torch.manual_seed(0)
    name = TASKS[task][kind]
    model = randomised(getattr(transformers, name if isinstance(name, str) else name[0])(config))
    with torch.no_grad():
        model.get_input_embeddings().weight[0] = 0
    return model


def alike(a: Any, b: Any) -> None:
    assert (a.target.label, a.texts) == (b.target.label, b.texts)
    assert a.target.score == pytest.approx(b.target.score, rel=1e-4, abs=1e-5)
    size = max(abs(t.relevance) for t in b.tokens)
    for one, other in zip(a.tokens, b.tokens, strict=True):
        assert one.relevance == pytest.approx(other.relevance, abs=1e-4 * size)


@pytest.mark.parametrize("kind", ["yoso", "convbert", "nystromformer", "funnel", "bert"])
@pytest.mark.parametrize("ledger", [False, True])
def test_a_batch_of_texts_is_each_text_alone(kind: str, ledger: bool, wordpiece: Any) -> None:
    model = model_of(kind, "sequence-classification", wordpiece)
    options: dict[str, Any] = {"tokenizer": wordpiece, "ledger": ledger}
    together = lxt.explain(model, TEXTS, batch_size=16, **options)
    for text, ex in zip(TEXTS, together, strict=True):
        alike(ex, lxt.explain(model, text, **options))


@pytest.mark.parametrize("kind", ["funnel", "convbert"])
def test_a_batch_of_questions_is_each_alone(kind: str, wordpiece: Any) -> None:
    model = model_of(kind, "question-answering", wordpiece)
    asked = [("a film?", text) for text in TEXTS]
    together = lxt.explain(model, asked, tokenizer=wordpiece, ledger=False)
    for question, ex in zip(asked, together, strict=True):
        alike(ex, lxt.explain(model, [question], tokenizer=wordpiece, ledger=False)[0])


def test_windows_of_several_texts_are_predicted_alone(wordpiece: Any) -> None:
    model = model_of("convbert", "sequence-classification", wordpiece)
    options: dict[str, Any] = {"tokenizer": wordpiece, "ledger": False, "window": 12}
    for text, ex in zip(TEXTS, lxt.explain(model, TEXTS, **options), strict=True):
        alike(ex, lxt.explain(model, text, **options))


def test_an_evaluation_does_not_pad_either(wordpiece: Any) -> None:
    for kind, pads in (("convbert", False), ("yoso", False), ("bert", True)):
        model = model_of(kind, "sequence-classification", wordpiece)
        assert TextTask.load(model, wordpiece).pads is pads


def test_a_leak_of_some_texts_only_is_seen_by_its_gradient(
    wordpiece: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = makers.bert(wordpiece)
    with torch.no_grad():
        model.get_input_embeddings().weight[0] = 0
    forward = model.forward

    def unmasked(input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Any:
        told = (input_ids == wordpiece.convert_tokens_to_ids("film")).any(-1, keepdim=True)
        return forward(input_ids, attention_mask | told, token_type_ids)

    monkeypatch.setattr(model, "forward", unmasked)
    texts = ["x, y", "a good film", LONG]  # the shortest, which is tried, does not leak
    together = lxt.explain(model, texts, tokenizer=wordpiece, ledger=False)
    for text, ex in zip(texts, together, strict=True):
        alike(ex, lxt.explain(model, text, tokenizer=wordpiece, ledger=False))


def test_sound_models_keep_their_batches(wordpiece: Any) -> None:
    model = model_of("bert", "sequence-classification", wordpiece)
    sizes = []

    def count(_module: Any, _args: Any, kwargs: Any) -> None:
        sizes.append(len(kwargs["input_ids"]))

    model.register_forward_pre_hook(count, with_kwargs=True)
    lxt.explain(model, TEXTS * 2, tokenizer=wordpiece, ledger=False)
    assert sizes == [1, 1, 6]
    sizes.clear()
    lxt.explain(model, ["a b", "b a"], tokenizer=wordpiece, ledger=False)
    assert sizes == [2]  # of one length: nothing to try


def test_gradients_at_padding() -> None:
    gradient = torch.zeros(2, 3, 4)
    gradient[0, :2] = gradient[1] = 1.0
    assert not reached(gradient, {"input_ids": [2, 3]})
    assert reached(gradient, {"input_ids": [2, 2]})
    both = {"input_ids": gradient, "decoder_input_ids": torch.ones(2, 2, 4)}
    assert reached(both, {"input_ids": [2, 3], "decoder_input_ids": [2, 1]})


def test_predictions_are_compared_where_both_have_them() -> None:
    alone = {"logits": torch.ones(1, 2, 3)}
    padded = {"logits": torch.cat([torch.ones(1, 2, 3), torch.zeros(1, 1, 3)], 1)}
    assert same_predictions(padded, alone)
    assert not same_predictions(alone, padded)
    assert not same_predictions({"logits": 1.01 * padded["logits"]}, alone)
    assert not same_predictions((torch.full((1, 2), torch.nan),), (torch.ones(1, 2),))
