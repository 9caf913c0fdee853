from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors

import lxt_like as lxt
from lxt_like.errors import InputError, SampleTargetError, TargetError
from lxt_like.targets import Token

from .. import makers
from .checks import closes, every_format, outputs, relevance_of, same

PROMPT = "A gripping, funny"


def logit_of(token: int, output: Any) -> Any:
    return output.logits[:, -1, token]


def test_the_likeliest_next_token(writer: Any, byte_bpe: Any, tmp_path: Path) -> None:
    ex = lxt.explain(writer, PROMPT, tokenizer=byte_bpe)
    inputs = byte_bpe(PROMPT, return_tensors="pt")
    logits = outputs(writer, **inputs).logits[0, -1].double()
    best = int(logits.argmax())
    assert ex.target.index == best
    assert ex.target.score == pytest.approx(float(logits[best]), abs=1e-5)
    assert ex.target.probability == pytest.approx(float(logits.softmax(-1)[best]), abs=1e-6)
    wanted = relevance_of(writer, inputs, partial(logit_of, best))
    assert [t.relevance for t in ex.tokens] == pytest.approx(wanted, abs=1e-5)
    assert [w.text for w in ex.words] == ["A", "gripping", ",", "funny"]
    closes(ex)
    every_format(ex, tmp_path)


def test_a_word_that_follows_brings_its_space(writer: Any, byte_bpe: Any) -> None:
    ids = {text: byte_bpe.convert_tokens_to_ids(text.replace(" ", "Ġ")) for text in (" a", "a")}
    said = '\'a\' was read as the token " a" (id {}); "a" is another (id {}).'
    cases = [
        (PROMPT, "a", " a", (said.format(ids[" a"], ids["a"]),)),
        (PROMPT, " a", " a", ()),
        (PROMPT, ids["a"], "a", ()),
        (PROMPT, " film", " film", ()),
        (PROMPT, "film", " film", ()),
    ]
    for prompt, given, meant, notes in cases:
        ex = lxt.explain(writer, prompt, target=given, tokenizer=byte_bpe, ledger=False)
        assert (ex.target.label, ex.notes) == (f'"{meant}"', notes)
    ex = lxt.explain(writer, PROMPT + " ", target="a", tokenizer=byte_bpe, ledger=False)
    assert ex.target.index == ids["a"]
    assert ex.notes


def test_a_contrast_is_the_difference_of_log_probabilities(writer: Any, byte_bpe: Any) -> None:
    target = lxt.Contrast(" film", "!")
    ex = lxt.explain(writer, PROMPT, target=target, tokenizer=byte_bpe)
    assert ex.target.label == '" film" rather than "!"'
    closes(ex)
    film, other = (
        lxt.explain(writer, PROMPT, target=lxt.LogProb(t), tokenizer=byte_bpe)
        for t in (" film", "!")
    )
    assert ex.target.score == pytest.approx(film.target.score - other.target.score, abs=1e-5)
    closes(film)


def test_several_prompts_go_together(writer: Any, byte_bpe: Any) -> None:
    prompts = [PROMPT, "a", "I want my money back! A good"]
    many = lxt.explain(writer, prompts, tokenizer=byte_bpe, batch_size=3)
    for ex, prompt in zip(many, prompts, strict=True):
        same(ex, lxt.explain(writer, prompt, tokenizer=byte_bpe))
    wanted = [" film", "!", 5]
    many = lxt.explain(writer, prompts, target=wanted, tokenizer=byte_bpe, batch_size=3)
    assert [ex.target.index for ex in many][2] == 5
    for ex, prompt, target in zip(many, prompts, wanted, strict=True):
        same(ex, lxt.explain(writer, prompt, target=target, tokenizer=byte_bpe))


def test_of_a_long_prompt_the_end_is_read(writer: Any, byte_bpe: Any) -> None:
    prompt = "film " * 80 + PROMPT
    with pytest.warns(lxt.errors.TruncationWarning, match="not read as a whole"):
        ex = lxt.explain(writer, prompt, tokenizer=byte_bpe)
    assert len(ex.tokens) == 64
    assert [w.text for w in ex.words][-4:] == ["A", "gripping", ",", "funny"]
    ids = byte_bpe(prompt, return_tensors="pt")["input_ids"][:, -64:]
    logits = outputs(writer, input_ids=ids).logits[0, -1]
    assert ex.target.score == pytest.approx(float(logits.max()), abs=1e-5)
    closes(ex)


def test_what_the_tokenizer_puts_behind_the_prompt_is_left_out() -> None:
    tokenizer = makers.byte_bpe()
    model = makers.gpt2(tokenizer)
    bare = lxt.explain(model, PROMPT, tokenizer=tokenizer)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|end|>", special_tokens=[("<|end|>", tokenizer.eos_token_id)]
    )
    assert tokenizer(PROMPT)["input_ids"][-1] == tokenizer.eos_token_id
    same(bare, lxt.explain(model, PROMPT, tokenizer=tokenizer))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"target": " film is"}, TargetError, r"got ' film is', which is \d tokens \(\" film\""),
        ({"target": Token(1)}, TargetError, "a token that may come next, got a place"),
        ({"target": -1}, TargetError, r"a token's id from 0 to \d+, or its text, got -1"),
        ({"target": lxt.Contrast("!", -2)}, TargetError, "or its text, got -2"),
        ({"target": lxt.Contrast("!", "!")}, TargetError, "a contrast needs two classes"),
        ({"pair": "x"}, InputError, "no pair, since this is a model for the next token"),
        ({"prefix": "x"}, InputError, "no prefix, .* a model for the next token"),
        ({"window": 4}, InputError, "no window"),
    ],
)
def test_mistakes(
    writer: Any, byte_bpe: Any, options: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        lxt.explain(writer, PROMPT, tokenizer=byte_bpe, **options)


def test_a_foil_that_is_another_token_in_another_text(writer: Any, byte_bpe: Any) -> None:
    """In one batch, though the prediction that it is set against is each text's own."""
    texts, foil = ["A film", "A film ", "I want"], lxt.Contrast(None, "m")  # " m" or "m"
    found = lxt.explain(writer, texts[:2], target=foil, tokenizer=byte_bpe, batch_size=2)
    for ex, text in zip(found, texts, strict=False):
        same(ex, lxt.explain(writer, text, target=foil, tokenizer=byte_bpe))
    assert [ex.target.label.split(" than ")[1] for ex in found] == ['" m"', '"m"']
    with pytest.raises(SampleTargetError, match="the prediction is the foil '\" m\"' itself"):
        lxt.explain(writer, texts, target=foil, tokenizer=byte_bpe, batch_size=3)
