from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForPreTraining,
    BertForTokenClassification,
    BertModel,
    ElectraForPreTraining,
)

import lxt_like as lxt
from lxt_like.errors import ModelError, TargetError
from lxt_like.explain.heads import head_of
from lxt_like.explain.loading import TextModel, load_text_model
from lxt_like.explain.tasks import task_for
from lxt_like.explain.tasks.answers import Answers
from lxt_like.explain.tasks.classes import Classification
from lxt_like.explain.tasks.filling import Filling
from lxt_like.explain.tasks.next_token import NextToken
from lxt_like.explain.tasks.seq2seq import Seq2Seq
from lxt_like.explain.tasks.tags import Tags
from lxt_like.targets import Token

from .. import makers
from .checks import same

MODELS = {
    "classifier": (Classification, "wordpiece"),
    "tagger": (Tags, "wordpiece"),
    "answerer": (Answers, "wordpiece"),
    "filler": (Filling, "wordpiece"),
    "writer": (NextToken, "byte_bpe"),
    "translator": (Seq2Seq, "unigram"),
}


class Plain(nn.Module):
    """A model whose class says nothing of its head."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.config = inner.config

    def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
        return self.inner(input_ids=input_ids, attention_mask=attention_mask)


class Writing(nn.Module):
    """The same for one that takes the beginning of an output."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.config = inner.config

    def forward(
        self, input_ids: Any, attention_mask: Any = None, decoder_input_ids: Any = None
    ) -> Any:
        return self.inner(input_ids, attention_mask, decoder_input_ids)


@pytest.mark.parametrize("name", MODELS)
def test_a_head_is_known_by_its_name_and_by_its_outputs(
    request: pytest.FixtureRequest, name: str
) -> None:
    kind, tokenizer = MODELS[name]
    model, tokenizer = request.getfixturevalue(name), request.getfixturevalue(tokenizer)
    assert type(task_for(TextModel(model, tokenizer, ""))) is kind
    plain = (Writing if kind is Seq2Seq else Plain)(model)
    assert type(task_for(TextModel(plain, tokenizer, ""))) is kind


@pytest.mark.parametrize("name", ["tagger", "answerer", "filler", "writer", "translator"])
def test_models_by_folder(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> None:
    kind, tokenizer = MODELS[name]
    model, tokenizer = request.getfixturevalue(name), request.getfixturevalue(tokenizer)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load_text_model(tmp_path)
    assert type(loaded.model) is type(model)
    assert type(task_for(loaded)) is kind


def test_a_name_says_what_a_head_is() -> None:
    assert head_of(["MyBert", "BertForMaskedLM", "PreTrainedModel"]) == "filling"
    assert head_of(["Qwen3ForCausalLM"]) == head_of(["GPT2LMHeadModel"]) == "language"
    # masked or causal: not to be told by the name
    assert head_of(["XLMWithLMHeadModel"]) is None
    assert head_of(["BertModel"]) is None


def test_a_subclass_is_what_it_was(wordpiece: Any, filler: Any) -> None:
    class Mine(BertForMaskedLM):  # type: ignore[misc]
        """Somebody's own."""

    mine = Mine(filler.config).eval()
    mine.load_state_dict(filler.state_dict())
    options = {"tokenizer": wordpiece, "ledger": False}
    ex = lxt.explain(mine, "A [MASK] film.", **options)
    same(ex, lxt.explain(filler, "A [MASK] film.", **options))


def test_no_head_at_all(wordpiece: Any, filler: Any, tmp_path: Path) -> None:
    bare = BertModel(filler.config)
    with pytest.raises(ModelError, match="BertModel has no head that predicts from text"):
        task_for(TextModel(bare, wordpiece, ""))
    bare.save_pretrained(tmp_path)
    wordpiece.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="nor another that predicts from text"):
        load_text_model(tmp_path)


def test_outputs_for_other_places_than_the_tokens(wordpiece: Any, filler: Any) -> None:
    class Halved(Plain):
        """Gives logits for every second token."""

        def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
            return super().forward(input_ids, attention_mask).logits[:, ::2]

    with pytest.raises(ModelError, match=r"for each of its tokens, got \[1, 3, 95\] for 5 tokens"):
        task_for(TextModel(Halved(filler), wordpiece, ""))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (BertForMultipleChoice, "BertForMultipleChoice is for, since it does not run on a text"),
        (ElectraForPreTraining, "ElectraForPreTraining gives one number for each token"),
        (BertForPreTraining, "BertForPreTraining has no head .* prediction_logits"),
    ],
)
def test_heads_that_are_not_explained(wordpiece: Any, head: Any, said: str) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = head(head.config_class(vocab_size=len(wordpiece), intermediate_size=32, **sizes))
    with pytest.raises(ModelError, match=said):
        lxt.explain(model, "a film", tokenizer=wordpiece)


def test_a_model_that_reads_no_text(wordpiece: Any) -> None:
    class Seeing(nn.Module):
        """Takes images."""

        def forward(self, pixel_values: Any) -> Any:
            return pixel_values

    with pytest.raises(ModelError, match="Seeing takes no input_ids"):
        lxt.explain(Seeing(), "a film", tokenizer=wordpiece)


def test_names_of_another_head_are_no_tags(wordpiece: Any) -> None:
    """A configuration that nobody told of the tags has two names all the same."""
    model = Plain(makers.encoder(BertForTokenClassification, wordpiece, num_labels=5))
    model.config = copy.deepcopy(model.config)
    model.config.num_labels = 2
    ex = lxt.explain(model, "a film", target=Token("film", 4), tokenizer=wordpiece)
    assert ex.target.label == '4 for "film"'
    with pytest.raises(TargetError, match="unknown class 'LABEL_1'"):
        lxt.explain(model, "a film", target="LABEL_1", tokenizer=wordpiece)


def test_choosing_leaves_a_model_as_it_was(wordpiece: Any) -> None:
    model = Plain(makers.encoder(BertForMaskedLM, wordpiece)).train()
    before = {n: p.clone() for n, p in model.named_parameters()}
    task_for(TextModel(model, wordpiece, ""))
    assert all(m.training for m in model.modules())
    assert all(torch.equal(p, before[n]) and p.grad is None for n, p in model.named_parameters())
