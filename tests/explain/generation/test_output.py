"""The tokens of an output: exactly those given or generated, each with its place in the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForTokenClassification

import lxt_like as lxt
from lxt_like.errors import InputError, ModelError
from lxt_like.explain.align import gpt2_alphabet
from lxt_like.explain.generation.output import Output

from .. import makers
from .conftest import PROMPT


def texts_of(ex: Any) -> list[str]:
    return [ex.output[token.start : token.end] for token in ex.written]


def test_a_text_stands_behind_the_prompt_as_it_is(writer: Any, byte_bpe: Any) -> None:
    ex = lxt.explain_generation(writer, PROMPT, " film's end", tokenizer=byte_bpe, ledger=False)
    whole = byte_bpe(PROMPT + " film's end")["input_ids"]
    read = len(byte_bpe(PROMPT)["input_ids"])
    assert [token.id for token in ex.written] == whole[read:]
    assert (ex.prompt, ex.output, ex.notes) == (PROMPT, " film's end", ())
    assert "".join(texts_of(ex)).replace(" ", "") == "film'send"
    assert "".join(ex.tokens) == ex.output
    assert [step.texts[1:] for step in ex.steps[:2]] == [(), (ex.output[: ex.written[0].end],)]
    assert [w.text for w in ex.total.words if w.segment == 1] == ["film's", "end"]


def test_where_a_token_would_reach_over_the_border(writer: Any, byte_bpe: Any) -> None:
    for prompt, output in (("A ", "film"), ("A gripping, fun", "ny film")):
        ex = lxt.explain_generation(writer, prompt, output, tokenizer=byte_bpe, ledger=False)
        ids = byte_bpe(prompt)["input_ids"] + [token.id for token in ex.written]
        assert ids != byte_bpe(prompt + output)["input_ids"]
        assert byte_bpe.decode(ids) == prompt + output
        assert ex.output == output
    assert ex.notes == (
        "The output goes on where the prompt ends: 'ripping, funny film'. Begin it with a space "
        "for a new word.",
    )


@pytest.mark.parametrize(("prompt", "output"), [("A gri", "pping"), ("not fun", "ny film")])
def test_a_tokenizer_that_makes_no_token_of_a_line_break(
    wordpiece: Any, prompt: str, output: str
) -> None:
    """What an output is tried behind where it reaches over the border is nothing to such a one."""
    assert wordpiece("\n", add_special_tokens=False)["input_ids"] == []
    model = makers.gpt2(wordpiece)
    ex = lxt.explain_generation(model, prompt, output, tokenizer=wordpiece)
    ids = wordpiece(output, add_special_tokens=False)["input_ids"]
    assert [token.id for token in ex.written] == ids
    assert (ex.prompt, ex.output) == (prompt, output)
    assert ex.account is not None
    assert abs(ex.account.gap) < 1e-4


def test_no_space_is_put_before_an_output() -> None:
    """As tokenizers of Llama's kind do with a text of its own."""
    model, tokenizer = makers.gpt2(sentencepiece()), sentencepiece()
    assert tokenizer.tokenize("ed film") == ["▁", "e", "d", "▁film"]
    ex = lxt.explain_generation(model, "A nam", "ed film", tokenizer=tokenizer, ledger=False)
    assert [t.text for t in ex.written] == ["e", "d", "▁film"]
    assert texts_of(ex) == ["e", "d", " film"]
    ex = lxt.explain_generation(model, "A", " film", tokenizer=tokenizer, ledger=False)
    assert ex.tokens == (" film",)
    assert ex.output == " film"


def sentencepiece() -> Any:
    """A Llama-like tokenizer: a space before everything, bytes for what it does not know."""
    single = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = ["<unk>", "<s>", "</s>", *single, "▁", *"Aacdefilmn", "▁film", "▁A"]
    ids = {piece: i for i, piece in enumerate(pieces)}
    ids |= {"▁f": len(ids), "▁fi": len(ids) + 1, "▁fil": len(ids) + 2}
    merges = [("▁", "A"), ("▁", "f"), ("▁f", "i"), ("▁fi", "l"), ("▁fil", "m")]
    ids |= {"na": len(ids), "nam": len(ids) + 1, "name": len(ids) + 2}
    merges += [("n", "a"), ("na", "m"), ("nam", "e")]
    return makers.sentencepiece(ids, merges)


@pytest.mark.parametrize("make", [makers.byte_bpe, sentencepiece])
def test_bytes_of_an_emoji(make: Any) -> None:
    tokenizer = make()
    model = makers.gpt2(tokenizer)
    data = "😺".encode()
    shown = "".join(char for byte in data for char, b in gpt2_alphabet().items() if b == byte)
    pieces = shown if make is makers.byte_bpe else [f"<0x{byte:02X}>" for byte in data]
    ids = tokenizer.convert_tokens_to_ids([*pieces])
    assert tokenizer.decode(ids) == "😺"
    e = tokenizer.convert_tokens_to_ids("e")
    given = [*ids, e, *ids[:2]]  # the last character is left a half
    ex = lxt.explain_generation(model, "A film", given, tokenizer=tokenizer)
    assert [token.id for token in ex.written] == given
    assert ex.output.rstrip("\ufffd") == "😺e"
    assert texts_of(ex)[:5] == ["😺"] * 4 + ["e"]
    assert all("\ufffd" in text for text in texts_of(ex)[5:])
    assert ex.tokens[0] in (r"\xf0", "<0xF0>")
    assert [w.text for w in ex.total.words if w.segment == 1][:2] == ["😺", "e"]
    assert [step.texts[1] for step in ex.steps[1:5]] == ["😺"] * 4
    assert ex.relevance.shape == (7, len(ex.words) + 7)
    assert (ex.relevance[6, len(ex.words) :] != 0).sum() == 6
    str(ex)
    broken = lxt.explain_generation(model, "A film", [*ids[:2], e], tokenizer=tokenizer)
    assert texts_of(broken) == ["\ufffd", "\ufffd", "e"]
    both = lxt.explain_generation(model, "A film", [*ids, *ids[:2]], tokenizer=tokenizer)
    assert both.relevance.shape == (6, len(ex.words) + 6)
    start = lxt.explain_generation(model, "A film" + "😺", ids[2:], tokenizer=tokenizer)
    assert [token.id for token in start.written] == ids[2:]
    forced = lxt.explain_generation(model, "A film", "e😺", tokenizer=tokenizer)
    assert tokenizer.decode([token.id for token in forced.written]) == "e😺"
    assert set(texts_of(forced)) == {"e", "😺"}


def test_tokens_without_text_are_not_lost(writer: Any, byte_bpe: Any) -> None:
    """Half a character in the prompt, an end token and spaces in the output."""
    spaces = byte_bpe("\n\n", add_special_tokens=False)["input_ids"]
    ids = [*spaces, byte_bpe.eos_token_id, *spaces]
    ex = lxt.explain_generation(writer, PROMPT, ids, tokenizer=byte_bpe)
    assert [token.id for token in ex.written] == ids
    assert ex.output == "\n\n<|end|>\n\n"
    assert (ex.relevance[-1, len(ex.words) : -1] != 0).all()
    assert len(str(ex).splitlines()) > len(ids)


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart"])
def test_outputs_that_begin_without_text(models: dict[str, Any], name: str, tmp_path: Path) -> None:
    """A word mark alone, ids that the tokenizer does not know: steps whose output so far is ''."""
    model, tokenizer = models[name]
    unknown = len(tokenizer)  # a vocabulary may be padded to a round number
    silent = tokenizer.convert_tokens_to_ids("▁" if unknown < 100 else "Ġ")
    outputs = [[silent, silent], [silent, 40, silent, 9]]
    if unknown + 1 < model.config.vocab_size:
        outputs += [[unknown], [unknown, unknown + 1], [unknown, 40, unknown]]
    for ids in outputs:
        ex = lxt.explain_generation(model, PROMPT, ids, tokenizer=tokenizer)
        assert [token.id for token in ex.written] == ids
        assert ex.relevance.shape == (len(ids), len(ex.words) + len(ids))
        assert np.isfinite(ex.relevance).all()
        ex.save(tmp_path / "it.json")
        assert lxt.load(tmp_path / "it.json") == ex
        assert str(ex) and ex._repr_html_()


def test_sources_and_their_outputs(translator: Any, unigram: Any) -> None:
    ex = lxt.explain_generation(translator, "A film", "a good film", tokenizer=unigram)
    ids = unigram("a good film", add_special_tokens=False)["input_ids"]
    assert [token.id for token in ex.written] == ids
    assert ex.output == "a good film"
    assert [w.text for w in ex.words] == ["A", "film"]
    assert [t.text for t in ex.total.tokens if t.special] == ["<s>", "</s>", "<pad>"]
    again = lxt.explain_generation(translator, "A film", ids, tokenizer=unigram)
    assert again == ex
    empty = lxt.explain_generation(translator, "", [9, 9], tokenizer=unigram)
    assert (empty.words, empty.relevance.shape) == ((), (2, 2))


def test_ids_in_any_container(writer: Any, byte_bpe: Any) -> None:
    want = lxt.explain_generation(writer, PROMPT, [5, 329], tokenizer=byte_bpe, ledger=False)
    given: list[Any] = [
        *((5, 329), [np.int64(5), np.int32(329)], np.array([5, 329]), np.array([[5, 329]])),
        *(np.array([5, 329], dtype=np.uint16), torch.tensor([5, 329]), torch.tensor([[5, 329]])),
    ]
    for ids in given:
        assert want == lxt.explain_generation(writer, PROMPT, ids, tokenizer=byte_bpe, ledger=False)


@pytest.mark.parametrize(
    ("prompt", "output", "options", "said"),
    [
        ("", " film", {}, "at least one token, got ''"),
        (PROMPT, "", {}, "an output of at least one token, got ''"),
        (PROMPT, [], {}, r"an output of at least one token, got \[\]"),
        (PROMPT, [1, "a"], {}, "a str, a list of token ids, or None"),
        (PROMPT, [-1], {}, "a str, a list of token ids, or None"),
        (PROMPT, 3, {}, "a str, a list of token ids, or None"),
        (PROMPT, "\ud83d", {}, "valid Unicode"),
        ([PROMPT], None, {}, "prompt to be one str or chat, got list"),
        (PROMPT, None, {"max_new_tokens": 0}, "max_new_tokens to be a whole number >= 1"),
        (PROMPT, None, {"batch_size": 0}, "batch_size to be a whole number >= 1"),
        (PROMPT, " film" * 70, {}, r"expected an output of at most \d+, since the model takes 64"),
        ("film " * 70, None, {}, r"a prompt of at most 64 tokens, .* got \d+: shorten it"),
        (PROMPT, None, {"max_new_tokens": 99}, r"expected max_new_tokens of at most \d+, since"),
        (PROMPT, [5, 330], {}, "token ids from 0 to 329, .* the model's vocabulary, got 330"),
        (PROMPT, [99999], {}, "token ids from 0 to 329, .* the model's vocabulary, got 99999"),
        (PROMPT, [2**70], {}, "token ids from 0 to 329, .* the model's vocabulary, got 118"),
        (PROMPT, np.array([5, 2**40]), {}, "token ids from 0 to 329, .* vocabulary, got 1099"),
        (PROMPT, [5, True], {}, "a str, a list of token ids, or None"),
        (PROMPT, np.array([5.0]), {}, "a str, a list of token ids, or None"),
        (PROMPT, np.array([True]), {}, "a str, a list of token ids, or None"),
        (PROMPT, np.array([[5], [6]]), {}, "a str, a list of token ids, or None"),
        (PROMPT, np.array(5), {}, "a str, a list of token ids, or None"),
    ],
)
def test_mistakes(
    writer: Any, byte_bpe: Any, prompt: Any, output: Output, options: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        lxt.explain_generation(writer, prompt, output, tokenizer=byte_bpe, **options)


def test_as_many_tokens_as_the_model_takes(writer: Any, byte_bpe: Any) -> None:
    read = len(byte_bpe(PROMPT)["input_ids"])
    ids = [9] * (64 - read + 1)  # the last one is never read
    ex = lxt.explain_generation(writer, PROMPT, ids, tokenizer=byte_bpe, ledger=False)
    assert len(ex.tokens) == len(ids)
    with pytest.raises(InputError, match=f"at most {len(ids)}, since"):
        lxt.explain_generation(writer, PROMPT, [*ids, 9], tokenizer=byte_bpe)


def test_models_that_write_no_text(wordpiece: Any, classifier: Any) -> None:
    tagger = makers.encoder(BertForTokenClassification, wordpiece)
    for model, task in ((classifier, "text classification"), (tagger, "token classification")):
        with pytest.raises(ModelError, match=f"a model that writes text .* {task}"):
            lxt.explain_generation(model, PROMPT, tokenizer=wordpiece)


def test_a_model_that_cannot_generate(writer: Any, byte_bpe: Any) -> None:
    class Bare(torch.nn.Module):
        """Logits, and nothing of transformers."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = writer

        def forward(self, input_ids: Any) -> Any:
            return self.inner(input_ids=input_ids).logits

        def get_input_embeddings(self) -> Any:
            return self.inner.get_input_embeddings()

    with pytest.raises(ModelError, match=r"Bare has no generate\(\) .* output="):
        lxt.explain_generation(Bare(), PROMPT, tokenizer=byte_bpe)
    ex = lxt.explain_generation(Bare(), PROMPT, " film", tokenizer=byte_bpe)
    assert ex.output == " film"
