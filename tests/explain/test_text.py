from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from transformers import pipeline

from lxt_like.composites import AttnLRP, Composite
from lxt_like.errors import InputError, ModelError, TargetError, TruncationWarning
from lxt_like.explain.result import TextExplanation
from lxt_like.explain.text import explain_text as explain
from lxt_like.rules import Epsilon

from . import makers
from .agreement import closes, same
from .stand_in import Contrast, Engine

LONG = " ".join("abcdefghij"[i % 10] for i in range(150))


def test_one_text(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    ex = explain(classifier, "Not a good film.", tokenizer=wordpiece)
    assert isinstance(ex, TextExplanation)
    assert [w.text for w in ex.words] == ["Not", "a", "good", "film", "."]
    assert [t.text for t in ex.tokens if t.special] == ["[CLS]", "[SEP]"]
    assert ex.notes == ()
    assert (ex.model, ex.composite) == ("BertForSequenceClassification", "attnlrp")
    closes(ex)
    with torch.no_grad():
        logits = classifier(**wordpiece("Not a good film.", return_tensors="pt")).logits[0]
    assert ex.target.index == int(logits.argmax())
    assert ex.target.label == classifier.config.id2label[ex.target.index]
    assert ex.target.score == pytest.approx(float(logits.max()), abs=1e-5)
    assert ex.target.probability == pytest.approx(float(logits.softmax(-1).max()), abs=1e-6)
    assert engine.options == [{"composite": "attnlrp", "ledger": True, "strict": True}]


def test_pairs(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    ex = explain(classifier, "good film", pair="not dull", tokenizer=wordpiece)
    assert ex.texts == ("good film", "not dull")
    assert [(w.text, w.segment) for w in ex.words] == [
        ("good", 0),
        ("film", 0),
        ("not", 1),
        ("dull", 1),
    ]
    assert engine.batches[0]["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1]]
    closes(ex)
    both = explain(classifier, ["a", "good film"], pair=["b c d", "not dull"], tokenizer=wordpiece)
    same(both[1], ex)


@pytest.mark.parametrize("target", ["good", 1, torch.tensor([1])])
def test_targets(engine: Engine, classifier: Any, wordpiece: Any, target: Any) -> None:
    ex = explain(classifier, "a film", target=target, tokenizer=wordpiece)
    assert (ex.target.label, ex.target.index) == ("good", 1)
    assert 0 < (ex.target.probability or 0) < 1


def test_one_target_per_text(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    texts = ["a", "a b c", "a b", "a b c d"]
    wanted = torch.tensor([0, 1, 2, 0])
    many = explain(classifier, texts, target=wanted, tokenizer=wordpiece, batch_size=2)
    assert [ex.target.index for ex in many] == [0, 1, 2, 0]
    named = ["bad", "good", 2, "bad"]
    many = explain(classifier, texts, target=named, tokenizer=wordpiece, batch_size=2)
    assert [ex.target.index for ex in many] == [0, 1, 2, 0]
    foils = Contrast(wanted, 1)
    many = explain(classifier, texts, target=foils, tokenizer=wordpiece, batch_size=2)
    assert [ex.target.label for ex in many] == [
        *["bad - good", "good - good", "mixed - good", "bad - good"]
    ]
    with pytest.raises(InputError, match="each of the 4 texts, got 3 entries"):
        explain(classifier, texts, target=wanted[:3], tokenizer=wordpiece)


def test_a_contrast_has_no_probability(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    ex = explain(classifier, "a film", target=Contrast("good", "bad"), tokenizer=wordpiece)
    assert (ex.target.label, ex.target.index, ex.target.probability) == ("good - bad", None, None)
    closes(ex)


def test_an_unknown_class(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    with pytest.raises(TargetError, match="bad, good, mixed"):
        explain(classifier, "a", target="splendid", tokenizer=wordpiece)


def test_labels_that_do_not_exclude_each_other(engine: Engine, wordpiece: Any) -> None:
    model = makers.bert(wordpiece, 3, problem_type="multi_label_classification")
    ex = explain(model, "a film", target=2, tokenizer=wordpiece)
    assert ex.target.probability == pytest.approx(1 / (1 + 2.718281828459045**-ex.target.score))


def test_regression(engine: Engine, wordpiece: Any) -> None:
    ex = explain(makers.bert(wordpiece, 1), "a film", tokenizer=wordpiece)
    assert (ex.target.label, ex.target.index, ex.target.probability) == ("score", 0, None)
    assert ex.notes == ()
    named = makers.bert(wordpiece, 1, id2label={0: "similarity"}, label2id={"similarity": 0})
    assert explain(named, "a", tokenizer=wordpiece).target.label == "similarity"
    three = makers.bert(wordpiece, 3, problem_type="regression")
    assert explain(three, "a", target=1, tokenizer=wordpiece).target.probability is None
    with pytest.raises(TargetError, match=r"gives 3 values .* LABEL_0, LABEL_1, LABEL_2"):
        explain(three, "a", tokenizer=wordpiece)


def test_a_model_without_labels(engine: Engine, wordpiece: Any) -> None:
    ex = explain(makers.bert(wordpiece), "a film", target=1, tokenizer=wordpiece)
    assert ex.target.label == "LABEL_1"
    assert ex.notes == ("The model names no classes: LABEL_1 is its output 1.",)


def test_too_long_a_text_is_cut_and_it_is_said(
    engine: Engine, classifier: Any, wordpiece: Any
) -> None:
    with pytest.warns(TruncationWarning, match="the text is longer than the 64 tokens") as caught:
        ex = explain(classifier, LONG, tokenizer=wordpiece)
    assert caught[0].filename == __file__
    assert len(ex.tokens) == 64
    assert len(ex.words) == 62
    assert ex.text == LONG
    assert ex.notes == (
        "Too long for the model: 62 of 150 tokens of the text were read "
        "(characters 0 to 123 of 299).",
    )
    closes(ex)
    theirs = wordpiece(LONG, truncation=True, max_length=64)["input_ids"]
    assert engine.batches[0]["input_ids"].tolist() == [theirs]
    with pytest.warns(TruncationWarning, match="1 of 2 texts are"):
        explain(classifier, ["a", LONG], tokenizer=wordpiece)


def test_windows_close_against_the_mean_score(
    engine: Engine, classifier: Any, wordpiece: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ex = explain(classifier, LONG, window=32, stride=10, tokenizer=wordpiece)
    assert [w.text for w in ex.words] == LONG.split()
    assert len(ex.tokens) == 152
    assert "Read in 7 overlapping windows of 32 tokens" in ex.notes[0]
    closes(ex)

    # by hand: each window on its own
    ids = wordpiece(LONG)["input_ids"]
    starts = [1, 21, 41, 61, 81, 101, 121]
    rows = torch.tensor([[ids[0], *ids[s : s + 30], ids[-1]] for s in starts])
    with torch.no_grad():
        logits = classifier(input_ids=rows).logits
    index = int(logits.mean(0).argmax())
    assert ex.target.index == index
    assert ex.target.score == pytest.approx(float(logits[:, index].mean()), abs=1e-5)
    mean = logits.mean(0).softmax(-1)
    assert ex.target.probability == pytest.approx(float(mean[index]), abs=1e-5)
    windows = [
        Engine()(classifier, {"input_ids": row[None]}, target=index).relevance[0] for row in rows
    ]
    expected = torch.zeros(152)
    for start, relevance in zip(starts, windows, strict=True):
        expected[0] += relevance[0] / 7
        expected[151] += relevance[31] / 7
        expected[start : start + 30] += relevance[1:31] / 7
    assert [t.relevance for t in ex.tokens] == pytest.approx(expected.tolist(), abs=1e-5)


def test_windows_among_short_texts(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    texts = ["a film", LONG, "good", LONG[:150]]
    options: dict[str, Any] = {"window": 20, "tokenizer": wordpiece}
    many = explain(classifier, texts, **options, batch_size=3)
    assert [ex.text for ex in many] == texts
    for ex in many:
        closes(ex)
        same(ex, explain(classifier, ex.text, **options))
    wanted = torch.tensor([2, 0, 1, 2])
    many = explain(classifier, texts, **options, target=wanted)
    assert [ex.target.index for ex in many] == [2, 0, 1, 2]


def test_windows_over_a_pair(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    ex = explain(classifier, "good film", pair=LONG, window=32, tokenizer=wordpiece)
    assert [w.text for w in ex.words] == ["good", "film", *LONG.split()]
    closes(ex)


def test_windows_that_do_not_fit(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    with pytest.raises(InputError, match="at most 64 tokens"):
        explain(classifier, "a", window=65, tokenizer=wordpiece)
    for bad in ({"window": 0}, {"window": 8, "stride": -1}, {"batch_size": 0}):
        with pytest.raises(InputError, match="whole number"):
            explain(classifier, "a", tokenizer=wordpiece, **bad)  # type: ignore[call-overload]
    # whether or not the text is long enough to need windows
    with pytest.raises(InputError, match="expected a window beside stride=3"):
        explain(classifier, "a", stride=3, tokenizer=wordpiece)
    with pytest.raises(InputError, match="from 0 to 2, got 9: window=5 leaves 3 tokens"):
        explain(classifier, "a", window=5, stride=9, tokenizer=wordpiece)


@pytest.mark.parametrize("text", ["", "  \n ", "\x00", "\u200b"])
def test_texts_without_words(engine: Engine, classifier: Any, wordpiece: Any, text: str) -> None:
    ex = explain(classifier, text, tokenizer=wordpiece)
    assert ex.words == ()
    assert ex.notes == ("No words: the score comes from special tokens and white space alone.",)
    closes(ex)


def test_unknown_tokens_only(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    ex = explain(classifier, "☃ ⛄", tokenizer=wordpiece)
    assert [w.text for w in ex.words] == ["☃", "⛄"]
    assert ex.notes[0].startswith("No word of the text is in the vocabulary")
    assert not explain(classifier, "☃ a", tokenizer=wordpiece).notes


def test_a_text_without_any_token(engine: Engine) -> None:
    tokenizer = makers.byte_bpe()
    model = makers.bert(tokenizer)
    with pytest.raises(InputError, match="at least one token, got ''"):
        explain(model, ["a", ""], tokenizer=tokenizer)
    assert engine.batches == []


@pytest.mark.parametrize("kind", ["byte_bpe", "unigram", "byt5"])
def test_other_tokenizers(engine: Engine, kind: str) -> None:
    tokenizer = getattr(makers, kind)()
    model = makers.bert(tokenizer)
    many = explain(model, ["A film, 你好 👍🏽!", "été"], tokenizer=tokenizer)
    assert [w.text for w in many[0].words] == ["A", "film", ",", "你", "好", "👍🏽", "!"]
    for ex in many:
        closes(ex)


def test_a_model_that_reads_its_padding_is_run_alone(
    engine: Engine, wordpiece: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = makers.bert(wordpiece)
    forward = model.forward

    def unmasked(input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Any:
        return forward(input_ids, torch.ones_like(attention_mask), token_type_ids)

    monkeypatch.setattr(model, "forward", unmasked)
    many = explain(model, ["a b c", "x"], tokenizer=wordpiece, batch_size=16)
    assert [len(b["input_ids"]) for b in engine.batches] == [1, 1]
    same(many[1], explain(model, "x", tokenizer=wordpiece))


def test_a_model_in_training_is_evaluated_and_left_as_it_was(
    engine: Engine, wordpiece: Any
) -> None:
    model = makers.bert(wordpiece)
    model.train()
    model.bert.encoder.layer[0].eval()
    before = [m.training for m in model.modules()]
    same(explain(model, "a", tokenizer=wordpiece), explain(model, "a", tokenizer=wordpiece))
    assert engine.training == [False, False]
    assert [m.training for m in model.modules()] == before
    with pytest.raises(TargetError):
        explain(model, "a", target="no such class", tokenizer=wordpiece)
    assert [m.training for m in model.modules()] == before


def test_a_model_without_a_head(wordpiece: Any) -> None:
    from transformers import BertModel

    model = BertModel(makers.bert(wordpiece).config)
    with pytest.raises(ModelError, match=r"BertModel has no head .* last_hidden_state"):
        explain(model, "a b", target=0, tokenizer=wordpiece)


def test_outputs_of_a_shape_that_is_none_of_a_classifier(engine: Engine, wordpiece: Any) -> None:
    from transformers import BertForMaskedLM

    class Odd(BertForMaskedLM):  # type: ignore[misc]
        """Says by its name that it is a classifier."""

    Odd.__name__ = "OddForSequenceClassification"
    with pytest.raises(ModelError, match=r"logits of shape \[1, classes\], got shape"):
        explain(Odd(makers.bert(wordpiece).config), "a b", target=0, tokenizer=wordpiece)


def test_a_pipeline(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    made = pipeline("text-classification", model=classifier, tokenizer=wordpiece)
    text = "Not a good film."
    ex = explain(made, text)
    (theirs,) = made(text)
    assert (ex.target.label, ex.target.probability) == (
        theirs["label"],
        pytest.approx(theirs["score"], abs=1e-5),
    )


def test_options_reach_the_engine(engine: Engine, classifier: Any, wordpiece: Any) -> None:
    ex = explain(
        classifier, "a", composite="cp_lrp", ledger=False, strict=False, tokenizer=wordpiece
    )
    assert engine.options == [{"composite": "cp_lrp", "ledger": False, "strict": False}]
    assert (ex.account, ex.composite) == (None, "cp_lrp")


def test_composites_are_recorded_by_name_or_as_code(
    engine: Engine, classifier: Any, wordpiece: Any
) -> None:
    named, own = AttnLRP(), Composite([Epsilon(0.5)])
    for composite, recorded in ((named, "attnlrp"), (own, repr(own))):
        ex = explain(classifier, "a", composite=composite, tokenizer=wordpiece)
        assert ex.composite == recorded


def test_progress(
    engine: Engine, classifier: Any, wordpiece: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    explain(classifier, ["a", LONG], window=32, tokenizer=wordpiece, progress=True)
    assert "2/2" in capsys.readouterr().err
    explain(classifier, "a", tokenizer=wordpiece)
    assert capsys.readouterr().err == ""
