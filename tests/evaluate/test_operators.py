"""Words that are removed are hidden: in encoders, decoders and encoder-decoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from tokenizers import processors
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.evaluate.removal import floors, forwards
from lxt_like.evaluate.task import Row
from lxt_like.evaluate.text import TextTask
from lxt_like.explain.loading import TextModel
from tests.explain import makers

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "num_labels": 3}
TEXTS = ("n t o r", "r o t n")
"""Of four words, tokenized alike."""


def unigram(single: str = "<s> $A </s>") -> Any:
    """<pad> <unk> <s> </s> are 0 to 3."""
    made = makers.unigram()
    ids = [(name, i) for i, name in ((2, "<s>"), (3, "</s>")) if name in single]
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=ids
    )
    return made


def llama(tokenizer: Any, **options: Any) -> Any:
    sizes = {**SIZES, "num_key_value_heads": 2, "intermediate_size": 48}
    config = tf.LlamaConfig(vocab_size=len(tokenizer), **{**sizes, **SPECIAL, **options})
    return tf.LlamaForSequenceClassification(config)


def bart(tokenizer: Any) -> Any:
    each = {"layers": 2, "attention_heads": 4, "ffn_dim": 48}
    sizes = {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in each.items()}
    special = {**SPECIAL, "decoder_start_token_id": 3, "forced_eos_token_id": 3}
    config = tf.BartConfig(vocab_size=len(tokenizer), d_model=32, **sizes, **special)
    return tf.BartForSequenceClassification(config)


def t5(tokenizer: Any) -> Any:
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    special = {**SPECIAL, "decoder_start_token_id": 0}
    config = tf.T5Config(vocab_size=len(tokenizer), **sizes, **special)
    return tf.T5ForSequenceClassification(config)


def xlnet(tokenizer: Any) -> Any:
    sizes = {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48}
    config = tf.XLNetConfig(vocab_size=len(tokenizer), **sizes, **SPECIAL)
    return tf.XLNetForSequenceClassification(config)


def bert(tokenizer: Any) -> Any:
    config = tf.BertConfig(vocab_size=len(tokenizer), intermediate_size=48, **SIZES, **SPECIAL)
    return tf.BertForSequenceClassification(config)


MODELS = {
    "bert": (bert, "<s> $A </s>"),
    "llama": (llama, "<s> $A"),
    "llama with an end": (llama, "<s> $A </s>"),
    "bart": (bart, "<s> $A </s>"),
    "t5": (t5, "$A </s>"),
    "xlnet": (xlnet, "$A </s> <s>"),
}


def task_for(name: str) -> TextTask:
    torch.manual_seed(0)
    make, template = MODELS[name]
    tokenizer = unigram(template)
    return TextTask(TextModel(makers.stirred(make(tokenizer)), tokenizer, name))


@pytest.mark.parametrize("name", MODELS)
def test_without_words_all_texts_of_a_shape_are_the_same(name: str) -> None:
    task = task_for(name)
    assert {"zero", "drop", "delete"} <= set(task.operators), task.refused
    batch = task.prepare([Row(str(i), text) for i, text in enumerate(TEXTS)], 0)
    assert not torch.equal(*batch.inputs["input_ids"])
    assert torch.equal(*batch.member)
    n = batch.units[0]
    last = np.arange(n) == n - 1
    for op in task.operators.values():
        bare = floors(task, batch, op).double()
        torch.testing.assert_close(bare[0], bare[1], rtol=0, atol=1e-5)
        # and what is left is read: texts that differ there stay apart
        some = forwards(task, batch, op, [0, 1], [last, last])
        assert not torch.allclose(some[0], some[1], atol=1e-4), op.name


@pytest.mark.parametrize("gone", [[0], [3], [1, 3], [0, 1, 2, 3]])
def test_a_causal_model_is_read_at_the_last_word_that_is_left(gone: list[int]) -> None:
    task = task_for("llama")
    model: Any = task.model
    batch = task.prepare([Row("a", TEXTS[0])])
    ids, member = batch.inputs["input_ids"], batch.member[0].tolist()
    out = [p for p, unit in enumerate(member) if unit in gone]
    mask = torch.ones_like(ids)
    mask[0, out] = 0
    last = max(p for p in range(len(member)) if p not in out)
    with torch.no_grad():
        hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = model.score(hidden[:, last])
    row = np.isin(np.arange(4), gone)
    found = forwards(task, batch, task.operators["drop"], [0], [row])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["bart", "t5"])
@pytest.mark.parametrize("gone", [[0], [3], [1, 2]])
def test_zero_holds_in_the_encoder_and_the_decoder(name: str, gone: list[int]) -> None:
    task = task_for(name)
    whole: Any = task.model
    model = whole.model if name == "bart" else whole.transformer
    batch = task.prepare([Row("a", TEXTS[0])])
    ids, member = batch.inputs["input_ids"], batch.member[0].tolist()
    out = [p for p, unit in enumerate(member) if unit in gone]
    start = torch.tensor([[whole.config.decoder_start_token_id]])
    with torch.no_grad():
        read = model.encoder.embed_tokens(ids)
        written = model.decoder.embed_tokens(torch.cat([start, ids[:, :-1]], 1))
        read[0, out] = 0
        written[0, [p + 1 for p in out]] = 0
        hidden = model(
            inputs_embeds=read, decoder_inputs_embeds=written, attention_mask=torch.ones_like(ids)
        ).last_hidden_state
        expected = whole.classification_head(hidden[:, -1])
    found = forwards(task, batch, task.operators["zero"], [0], [np.isin(np.arange(4), gone)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["bart", "t5", "llama"])
def test_such_models_are_evaluated_and_tuned(name: str) -> None:
    task = task_for(name)
    texts = [*TEXTS, "film the a", "good dull film", "an end", "and the", "a grip", "not the film"]
    report = lxt.evaluate(task, texts, methods=["random", "attnlrp"], steps=2)
    assert report.summary["predictions"]["samples"] == len(texts)
    assert lxt.tune(task, texts, budget=1, steps=2).operators == tuple(task.operators)[:2]


class Leaky(nn.Module):
    """A classifier beside which the ids are read once more, by ``leak``."""

    def __init__(self, inner: Any, leak: Any) -> None:
        super().__init__()
        self.inner, self.config, self.leak = inner, inner.config, leak

    def get_input_embeddings(self) -> Any:
        return self.inner.get_input_embeddings()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        out = self.inner(input_ids=input_ids, attention_mask=attention_mask)
        return {"logits": out.logits + self.leak(input_ids)[:, None]}


def beside(ids: Tensor) -> Tensor:
    return 0.1 * ids.float().mean(1)


def at_the_end(ids: Tensor) -> Tensor:
    return 0.1 * ids[:, -2].float()


@pytest.mark.parametrize("leak", [beside, at_the_end])
def test_an_operator_that_leaves_words_readable_is_refused(leak: Any) -> None:
    torch.manual_seed(0)
    tokenizer = makers.wordpiece()
    task = TextTask(TextModel(Leaky(makers.bert(tokenizer), leak).eval(), tokenizer, "leaky"))
    assert "still reads the words that are removed" in task.refused["zero"]
    batch = task.prepare([Row(str(i), t) for i, t in enumerate(("abc def", "fed cba"))], 0)
    assert task.operators
    for op in task.operators.values():
        bare = floors(task, batch, op)
        torch.testing.assert_close(bare[0], bare[1], rtol=0, atol=1e-5)


class Deaf(nn.Module):
    """Answers by the mask and the first token alone as soon as anything is masked."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.config = inner, inner.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        logits = self.inner(input_ids=input_ids, attention_mask=attention_mask).logits
        whole = attention_mask.all(1)[:, None]
        return {"logits": torch.where(whole, logits, input_ids[:, :1].float().expand_as(logits))}


def test_an_operator_that_hides_what_is_left_is_refused() -> None:
    tokenizer = makers.wordpiece()
    task = TextTask(TextModel(Deaf(makers.bert(tokenizer)).eval(), tokenizer, "deaf"))
    assert "no longer reads the words that are left" in task.refused["drop"]
    assert "names no embedding" in task.refused["zero"]
    assert set(task.operators) == {"mask", "delete"}


def test_a_model_without_any_operator_is_refused_with_the_reasons() -> None:
    task = task_for("bert")
    task.operators, task.refused = {}, {"mask": "why not"}
    for run in (lxt.evaluate, lxt.tune):
        with pytest.raises(InputError, match=r"removed in no way: mask: why not"):
            run(task, ["a"] * 8)


def test_a_model_that_knows_no_padding_is_evaluated_row_by_row() -> None:
    torch.manual_seed(0)
    tokenizer = unigram("<s> $A")
    model = makers.stirred(llama(tokenizer, pad_token_id=None))
    task = TextTask(TextModel(model, tokenizer, "tiny"))
    assert "drop" in task.refused  # read at the last token, whatever it is
    report = lxt.evaluate(task, [*TEXTS, "a film"], methods=["random"], steps=2)
    assert report.summary["predictions"]["samples"] == 3


def test_zero_finds_the_tokens_of_a_batch_that_equals_itself_turned() -> None:
    task = task_for("xlnet")  # embeds time first
    ids = torch.tensor([[5, 6, 7], [6, 8, 9], [7, 9, 3]])
    gone = torch.tensor([[True, False, False], [False, False, False], [True, True, False]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    op: Any = task.operators["zero"]
    with torch.no_grad():
        found = op.changed(task, inputs, gone)
        for i in range(3):
            alone = op.changed(task, {n: v[i : i + 1] for n, v in inputs.items()}, gone[i : i + 1])
            torch.testing.assert_close(found[i : i + 1], alone, rtol=0, atol=1e-5)
