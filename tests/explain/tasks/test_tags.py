from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForTokenClassification, pipeline

import lxt_like as lxt
from lxt_like.errors import InputError, TargetError
from lxt_like.explain.tasks.tags import TagSpot
from lxt_like.targets import Token

from .. import makers
from .checks import closes, every_format, outputs, relevance_of, same
from .conftest import TAGS

TEXT = "Not the film, the good film"
WORDS = ["not", "the", "film", ",", "the", "good", "film"]  # tokens 1 to 7


def logits_of(tagger: Any, wordpiece: Any, text: str = TEXT) -> Any:
    return outputs(tagger, **wordpiece(text, return_tensors="pt")).logits[0]


def logit_at(position: int, tag: int, output: Any) -> Any:
    return output.logits[:, position, tag]


@pytest.mark.parametrize("at", [6, -3, "good"])
def test_a_tag_of_a_word(tagger: Any, wordpiece: Any, at: Any, tmp_path: Path) -> None:
    logits = logits_of(tagger, wordpiece)[6]
    ex = lxt.explain(tagger, TEXT, target=Token(at, "LOC"), tokenizer=wordpiece)
    assert (ex.target.label, ex.target.index) == ('LOC for "good"', 2)
    assert ex.target.score == pytest.approx(float(logits[2]), abs=1e-5)
    assert ex.target.probability == pytest.approx(float(logits.softmax(-1)[2]), abs=1e-5)
    inputs = wordpiece(TEXT, return_tensors="pt")
    wanted = relevance_of(tagger, inputs, partial(logit_at, 6, 2))
    assert [t.relevance for t in ex.tokens] == pytest.approx(wanted, abs=1e-5)
    assert ex.notes == ()
    closes(ex)
    every_format(ex, tmp_path)


def test_the_predicted_tag_of_a_word(tagger: Any, wordpiece: Any) -> None:
    logits = logits_of(tagger, wordpiece)
    for at, word in enumerate(WORDS, 1):
        ex = lxt.explain(tagger, TEXT, target=Token(at), tokenizer=wordpiece, ledger=False)
        assert ex.target.index == int(logits[at].argmax())
        assert ex.target.label.lower() == f'{TAGS[ex.target.index]} for "{word}"'.lower()


@pytest.mark.parametrize("seed", range(6))
def test_nothing_asked_for_is_the_most_certain_tag(wordpiece: Any, seed: int) -> None:
    names = {"id2label": TAGS, "label2id": {name: i for i, name in TAGS.items()}}
    tagger = makers.encoder(BertForTokenClassification, wordpiece, seed, **names)
    chances = logits_of(tagger, wordpiece)[1:-1].double().softmax(-1)  # no special tokens
    tagged = [k for k in range(7) if int(chances[k].argmax()) != 0]
    ex = lxt.explain(tagger, TEXT, tokenizer=wordpiece)
    nearest = max(tagged or range(7), key=chances[:, 1:].amax(-1).tolist().__getitem__)
    tag = int(chances[nearest].argmax())
    assert ex.target.index == tag
    assert ex.target.label.lower() == f'{TAGS[tag]} for "{WORDS[nearest]}"'.lower()
    assert ex.target.probability == pytest.approx(float(chances[nearest, tag]), abs=1e-6)
    said = ("No token is tagged: this one is nearest to a tag other than O.",)
    assert ex.notes == (() if tagged else said)


def test_a_tagged_token_goes_before_one_that_is_nearly_tagged() -> None:
    shares = torch.tensor([[0.50, 0.45, 0.05], [0.30, 0.40, 0.30], [0.98, 0.01, 0.01]])
    spot = TagSpot(
        at=(0,),
        inner=lxt.Logit(None),
        names=TAGS,
        what=("",),
        notes=((),),
        among=((0, 1, 2),),
        free=(True,),
    )
    assert spot.places(shares.log()[None]) == [1]
    assert replace(spot, among=((0, 2),)).places(shares.log()[None]) == [0]
    assert replace(spot, names={}).places(shares.log()[None]) == [2]  # no O: all are tags


def test_no_token_is_tagged(wordpiece: Any) -> None:
    names = {"id2label": TAGS, "label2id": {name: i for i, name in TAGS.items()}}
    tagger = makers.encoder(BertForTokenClassification, wordpiece, **names)
    with torch.no_grad():
        tagger.classifier.bias[0] += 50
    ex = lxt.explain(tagger, TEXT, tokenizer=wordpiece)
    assert ex.target.index == 0
    assert ex.notes == ("No token is tagged: this one is nearest to a tag other than O.",)


def test_a_tag_alone_is_explained_where_it_is_most_certain(tagger: Any, wordpiece: Any) -> None:
    logits = logits_of(tagger, wordpiece)[1:-1]
    for tag, name in TAGS.items():
        for given in (tag, name, lxt.Logit(name)):
            ex = lxt.explain(tagger, TEXT, target=given, tokenizer=wordpiece, ledger=False)
            at = int(logits.softmax(-1)[:, tag].argmax())
            assert ex.target.label.lower() == f'{name} for "{WORDS[at]}"'.lower()
            assert ex.target.score == pytest.approx(float(logits[at, tag]), abs=1e-5)


def test_a_contrast_and_a_log_probability(tagger: Any, wordpiece: Any) -> None:
    logits = logits_of(tagger, wordpiece)[6]
    why = lxt.Contrast("PER", "O")
    ex = lxt.explain(tagger, TEXT, target=Token("good", why), tokenizer=wordpiece)
    assert ex.target.label == 'PER rather than O for "good"'
    assert ex.target.score == pytest.approx(float(logits[1] - logits[0]), abs=1e-5)
    closes(ex)
    ex = lxt.explain(tagger, TEXT, target=Token("good", lxt.LogProb("O")), tokenizer=wordpiece)
    assert ex.target.score == pytest.approx(float(logits.log_softmax(-1)[0]), abs=1e-5)
    closes(ex)


def test_a_word_of_several_tokens_and_a_phrase(tagger: Any, wordpiece: Any) -> None:
    text = "The gripping film"
    ex = lxt.explain(tagger, text, target=Token("Gripping", "PER"), tokenizer=wordpiece)
    assert ex.target.label == 'PER for "gripping"'
    assert ex.notes == ("'gripping' is 2 tokens: the tag is that of 'grip'.",)
    assert ex.target.score == pytest.approx(
        float(logits_of(tagger, wordpiece, text)[2, 1]), abs=1e-5
    )
    phrase = lxt.explain(tagger, text, target=Token("gripping film", "PER"), tokenizer=wordpiece)
    same(ex, phrase)
    part = lxt.explain(tagger, text, target=Token(3, "PER"), tokenizer=wordpiece)
    assert part.notes == ("'gripping' is 2 tokens: the tag is that of '##ping'.",)


def test_positions_of_tensors_and_arrays(tagger: Any, wordpiece: Any) -> None:
    want = lxt.explain(tagger, TEXT, target=Token(3, "PER"), tokenizer=wordpiece)
    for at in (torch.tensor(3), np.array(3), np.int64(3), [3], torch.tensor([3]), np.array([3])):
        given = Token(at, "PER")
        same(lxt.explain(tagger, TEXT, target=given, tokenizer=wordpiece), want)
    for at in (1.7, True, torch.tensor(2.5), torch.tensor(True), [[3]], np.array([1.5])):
        with pytest.raises(TargetError, match="a token's position or a word, got"):
            lxt.explain(tagger, TEXT, target=Token(at), tokenizer=wordpiece)
    for occurrence in (1.0, True, "1"):
        given = Token("film", occurrence=occurrence)  # type: ignore[arg-type]
        with pytest.raises(TargetError, match="an occurrence of 'film' from 0 to 1, got"):
            lxt.explain(tagger, TEXT, target=given, tokenizer=wordpiece)


def test_a_word_that_stands_there_twice(tagger: Any, wordpiece: Any) -> None:
    with pytest.raises(
        TargetError, match=r"'film' stands 2 times in the text: .* occurrence=0 to 1"
    ):
        lxt.explain(tagger, TEXT, target=Token("film"), tokenizer=wordpiece)
    logits = logits_of(tagger, wordpiece)
    for n, at in enumerate((3, 7)):
        target = Token("film", 0, occurrence=n)
        ex = lxt.explain(tagger, TEXT, target=target, tokenizer=wordpiece, ledger=False)
        assert ex.target.score == pytest.approx(float(logits[at, 0]), abs=1e-5)
    # a whole word before a part of one
    ex = lxt.explain(tagger, "gripping grip", target=Token("grip"), tokenizer=wordpiece)
    assert ex.target.label.endswith('"grip"')


def test_several_texts_go_together(tagger: Any, wordpiece: Any) -> None:
    texts = ["a film", TEXT, "the good film"]
    many = lxt.explain(tagger, texts, tokenizer=wordpiece, batch_size=3)
    for ex, text in zip(many, texts, strict=True):
        same(ex, lxt.explain(tagger, text, tokenizer=wordpiece))
    wanted = Token([1, 2, 3], ["O", "PER", "LOC"])
    many = lxt.explain(tagger, texts, target=wanted, tokenizer=wordpiece, batch_size=3)
    assert [ex.target.label for ex in many] == ['O for "a"', 'PER for "the"', 'LOC for "film"']


@pytest.mark.parametrize(
    ("text", "target", "error", "said"),
    [
        (
            TEXT,
            "ORG",
            TargetError,
            "unknown class 'ORG'; the model's classes are 'O', 'PER', 'LOC'",
        ),
        (TEXT, Token("film", "ORG", 0), TargetError, "unknown class 'ORG'"),
        (TEXT, Token("bad"), InputError, "got 'bad', which it does not hold"),
        (TEXT, Token(""), InputError, "which it does not hold"),
        (TEXT, Token("film", occurrence=2), TargetError, "occurrence of 'film' from 0 to 1, got 2"),
        (TEXT, Token(9), TargetError, "position from 0 to 8, got 9"),
        (TEXT, Token(True), TargetError, "a token's position or a word, got True"),
        ("", None, InputError, "at least one token to tag"),
        ("x " * 80 + "film", Token("film"), InputError, "does not read as far as 'film'"),
    ],
)
@pytest.mark.filterwarnings("ignore::lxt_like.errors.TruncationWarning")
def test_mistakes(
    tagger: Any, wordpiece: Any, text: str, target: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        lxt.explain(tagger, text, target=target, tokenizer=wordpiece)


def test_a_pipeline(tagger: Any, wordpiece: Any) -> None:
    made = pipeline("token-classification", model=tagger, tokenizer=wordpiece)
    for theirs in made(TEXT):
        at = Token(theirs["index"], theirs["entity"])
        ex = lxt.explain(made, TEXT, target=at, ledger=False)
        assert ex.target.probability == pytest.approx(float(theirs["score"]), abs=1e-5)
