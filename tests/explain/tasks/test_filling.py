from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline

import lxt_like as lxt
from lxt_like.errors import InputError, ModelError, TargetError
from lxt_like.targets import Answer, Token

from .checks import closes, every_format, outputs, relevance_of, same

TEXT = "A [MASK] film."
AT = 2  # behind [CLS] and "a"


def logit_at(position: int, token: int, output: Any) -> Any:
    return output.logits[:, position, token]


def test_the_likeliest_filling(filler: Any, wordpiece: Any, tmp_path: Path) -> None:
    ex = lxt.explain(filler, TEXT, tokenizer=wordpiece)
    inputs = wordpiece(TEXT, return_tensors="pt")
    logits = outputs(filler, **inputs).logits[0, AT].double()
    best = int(logits.argmax())
    assert ex.target.index == best
    assert json.loads(ex.target.label) == wordpiece.convert_ids_to_tokens(best)
    assert ex.target.score == pytest.approx(float(logits[best]), abs=1e-5)
    assert ex.target.probability == pytest.approx(float(logits.softmax(-1)[best]), abs=1e-6)
    assert [w.text for w in ex.words] == ["A", "[MASK]", "film", "."]
    wanted = relevance_of(filler, inputs, partial(logit_at, AT, best))
    assert [t.relevance for t in ex.tokens] == pytest.approx(wanted, abs=1e-5)
    closes(ex)
    every_format(ex, tmp_path)


@pytest.mark.parametrize("target", ["good", 92, lxt.Logit("good")])
def test_a_filling_by_text_or_id(filler: Any, wordpiece: Any, target: Any) -> None:
    assert wordpiece.convert_tokens_to_ids("good") == 92
    ex = lxt.explain(filler, TEXT, target=target, tokenizer=wordpiece)
    assert (ex.target.label, ex.target.index) == ('"good"', 92)
    closes(ex)


def test_a_contrast_is_the_difference_of_two_logits(filler: Any, wordpiece: Any) -> None:
    ex = lxt.explain(filler, TEXT, target=lxt.Contrast("good", "dull"), tokenizer=wordpiece)
    assert ex.target.label == '"good" rather than "dull"'
    assert (ex.target.index, ex.target.probability) == (None, None)
    closes(ex)
    good, dull = (
        lxt.explain(filler, TEXT, target=t, tokenizer=wordpiece) for t in ("good", "dull")
    )
    assert ex.target.score == pytest.approx(good.target.score - dull.target.score, abs=1e-5)


def test_a_log_probability(filler: Any, wordpiece: Any) -> None:
    ex = lxt.explain(filler, TEXT, target=lxt.LogProb("good"), tokenizer=wordpiece)
    assert ex.target.label == 'log p("good")'
    assert 2.718281828459045**ex.target.score == pytest.approx(ex.target.probability, rel=1e-4)
    closes(ex)


def test_one_of_several_masks(filler: Any, wordpiece: Any) -> None:
    text = "A [MASK] film, [MASK]!"
    with pytest.raises(TargetError, match=r"2 masks, .*Token\('\[MASK\]', \.\.\., occurrence=0"):
        lxt.explain(filler, text, tokenizer=wordpiece)
    inputs = wordpiece(text, return_tensors="pt")
    for n, at in enumerate((2, 5)):
        for target in (Token("[MASK]", "good", occurrence=n), Token(at, "good")):
            ex = lxt.explain(filler, text, target=target, tokenizer=wordpiece)
            assert ex.target.label == f'"good" (mask {n + 1} of 2)'
            logits = outputs(filler, **inputs).logits[0, at]
            assert ex.target.score == pytest.approx(float(logits[92]), abs=1e-5)
            closes(ex)


def test_a_word_that_is_not_masked(filler: Any, wordpiece: Any) -> None:
    ex = lxt.explain(filler, "A dull film", target=Token("dull", "good"), tokenizer=wordpiece)
    assert ex.target.label == '"good" in place of "dull"'
    closes(ex)


def test_several_texts_go_together(filler: Any, wordpiece: Any) -> None:
    texts = ["A [MASK]", "good film [MASK] x", "[MASK]"]
    words = ["good", "film", "dull"]
    many = lxt.explain(filler, texts, target=words, tokenizer=wordpiece, batch_size=3)
    assert [ex.target.label for ex in many] == ['"good"', '"film"', '"dull"']
    for ex, text, word in zip(many, texts, words, strict=True):
        same(ex, lxt.explain(filler, text, target=word, tokenizer=wordpiece))
    with pytest.raises(InputError, match="each of the 3 texts, got 2 entries"):
        lxt.explain(filler, texts, target=words[:2], tokenizer=wordpiece)
    foils = lxt.Contrast(words, "not")
    many = lxt.explain(filler, texts, target=foils, tokenizer=wordpiece, batch_size=3)
    assert many[1].target.label == '"film" rather than "not"'
    mixed = [lxt.Logit("good"), lxt.LogProb("good"), "film"]
    with pytest.raises(InputError, match="one kind of target for all texts, got LogProb, Logit"):
        lxt.explain(filler, texts, target=mixed, tokenizer=wordpiece, batch_size=3)


def test_a_pair(filler: Any, wordpiece: Any) -> None:
    ex = lxt.explain(filler, "A dull film", pair="not [MASK]", tokenizer=wordpiece)
    assert ex.texts == ("A dull film", "not [MASK]")
    closes(ex)


@pytest.mark.parametrize(
    ("text", "target", "error", "said"),
    [
        ("A film", None, InputError, r"a text with \[MASK\] where"),
        (TEXT, "a film", TargetError, r"one token, got 'a film', which is 2 tokens"),
        (TEXT, "☃", TargetError, "'☃', which is not in its vocabulary"),
        (TEXT, 5000, TargetError, "token id 5000 is out of range: the model's vocabulary has"),
        (TEXT, 1.5, TargetError, "got float"),
        (TEXT, Answer("film"), TargetError, "got Answer"),
        (TEXT, Token("dull"), InputError, "got 'dull', which it does not hold"),
        (TEXT, Token(77), TargetError, "position from 0 to 5, got 77"),
        ("x " * 80 + "[MASK]", None, InputError, "too long for the model"),
    ],
)
@pytest.mark.filterwarnings("ignore::lxt_like.errors.TruncationWarning")
def test_mistakes(
    filler: Any, wordpiece: Any, text: str, target: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        lxt.explain(filler, text, target=target, tokenizer=wordpiece)


def test_a_tokenizer_without_a_mask(filler: Any, unigram: Any) -> None:
    with pytest.raises(ModelError, match="no mask token"):
        lxt.explain(filler, "a film", tokenizer=unigram)


def test_windows_are_refused(filler: Any, wordpiece: Any) -> None:
    with pytest.raises(InputError, match="no window, since this is a model for filling masks"):
        lxt.explain(filler, TEXT, window=8, tokenizer=wordpiece)


def test_a_pipeline(filler: Any, wordpiece: Any) -> None:
    made = pipeline("fill-mask", model=filler, tokenizer=wordpiece)
    ex = lxt.explain(made, TEXT)
    theirs = made(TEXT)[0]
    assert ex.target.index == theirs["token"]
    assert ex.target.probability == pytest.approx(theirs["score"], abs=1e-5)
