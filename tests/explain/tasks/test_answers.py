from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import lxt_like as lxt
from lxt_like.errors import InputError, TargetError
from lxt_like.explain.tasks import answers
from lxt_like.targets import Answer, Token

from .checks import closes, every_format, outputs, relevance_of, same

QUESTION = "not dull?"
CONTEXT = "the good film, not the dull film"
# [CLS] not dull ? [SEP] the good film , not the dull film [SEP]
FIRST, LAST = 5, 12
PLACES = {"good": [(6, 6)], "the good film": [(5, 7)], "film": [(7, 7), (12, 12)]}


def both(answerer: Any, wordpiece: Any) -> tuple[Any, Any]:
    out = outputs(answerer, **wordpiece(QUESTION, CONTEXT, return_tensors="pt"))
    return out.start_logits[0].double(), out.end_logits[0].double()


def sum_of(start: int, end: int, output: Any) -> Any:
    return output.start_logits[:, start] + output.end_logits[:, end]


def test_the_predicted_answer(answerer: Any, wordpiece: Any, tmp_path: Path) -> None:
    start, end = both(answerer, wordpiece)
    spans = [(s, e) for s in range(FIRST, LAST + 1) for e in range(s, LAST + 1)]
    s, e = max(spans, key=partial(_total, start, end))
    ex = lxt.explain(answerer, (QUESTION, CONTEXT), tokenizer=wordpiece)
    assert ex.texts == (QUESTION, CONTEXT)
    assert ex.target.score == pytest.approx(float(start[s] + end[e]), abs=1e-5)
    inputs = wordpiece(QUESTION, CONTEXT, return_tensors="pt")
    words = wordpiece.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    assert ex.target.label == f'"{" ".join(words[s : e + 1])}"'.replace(" ,", ",")
    shares = start[FIRST : LAST + 1].softmax(-1), end[FIRST : LAST + 1].softmax(-1)
    chance = float(shares[0][s - FIRST] * shares[1][e - FIRST])
    assert ex.target.probability == pytest.approx(chance, abs=1e-6)
    wanted = relevance_of(answerer, inputs, partial(sum_of, s, e))
    assert [t.relevance for t in ex.tokens] == pytest.approx(wanted, abs=1e-5)
    closes(ex)
    every_format(ex, tmp_path)


def _total(start: Any, end: Any, span: tuple[int, int]) -> float:
    return float(start[span[0]] + end[span[1]])


def test_a_pair_may_be_given_in_any_way(answerer: Any, wordpiece: Any) -> None:
    options = {"tokenizer": wordpiece, "ledger": False}
    ex = lxt.explain(answerer, QUESTION, pair=CONTEXT, **options)
    asked = {"question": QUESTION, "context": CONTEXT}
    same(ex, lxt.explain(answerer, asked, **options))
    same(ex, lxt.explain(answerer, (QUESTION, CONTEXT), **options))
    given = [asked, (QUESTION, CONTEXT), ("good", CONTEXT + " " + CONTEXT)]
    for batch_size in (1, 3):
        many = lxt.explain(answerer, given, batch_size=batch_size, **options)
        same(many[0], ex)
        same(many[1], ex)
    assert many[2].texts[0] == "good"


@pytest.mark.parametrize("answer", PLACES)
def test_an_answer_of_the_context(answerer: Any, wordpiece: Any, answer: str) -> None:
    start, end = both(answerer, wordpiece)
    best = max(PLACES[answer], key=partial(_total, start, end))
    for given in (answer, answer.upper(), Answer(answer)):
        ex = lxt.explain(answerer, (QUESTION, CONTEXT), target=given, tokenizer=wordpiece)
        assert ex.target.label.lower() == f'"{answer}"'
        assert ex.target.score == pytest.approx(_total(start, end, best), abs=1e-5)
    for part, logits, at in (("start", start, best[0]), ("end", end, best[1])):
        target = Answer(answer, part)
        ex = lxt.explain(answerer, (QUESTION, CONTEXT), target=target, tokenizer=wordpiece)
        assert ex.target.label == f'{part} of "{answer}"'
        assert ex.target.score == pytest.approx(float(logits[at]), abs=1e-5)
        share = float(logits[FIRST : LAST + 1].softmax(-1)[at - FIRST])
        assert ex.target.probability == pytest.approx(share, abs=1e-6)
        closes(ex)


def test_start_and_end_add_up_to_the_answer(answerer: Any, wordpiece: Any) -> None:
    whole, start, end = (
        lxt.explain(answerer, (QUESTION, CONTEXT), target=t, tokenizer=wordpiece)
        for t in (None, "start", "end")
    )
    assert (start.target.label, end.target.label) == (
        f"start of {whole.target.label}",
        f"end of {whole.target.label}",
    )
    for a, b, c in zip(whole.tokens, start.tokens, end.tokens, strict=True):
        assert a.relevance == pytest.approx(b.relevance + c.relevance, abs=1e-5)


def test_why_this_answer_rather_than_that(answerer: Any, wordpiece: Any) -> None:
    start, end = both(answerer, wordpiece)
    why = lxt.Contrast("good", "not the dull film")
    ex = lxt.explain(answerer, (QUESTION, CONTEXT), target=why, tokenizer=wordpiece)
    assert ex.target.label == '"good" rather than "not the dull film"'
    difference = _total(start, end, (6, 6)) - _total(start, end, (9, 12))
    assert ex.target.score == pytest.approx(difference, abs=1e-5)
    assert ex.target.probability is None
    closes(ex)
    predicted = lxt.explain(answerer, (QUESTION, CONTEXT), tokenizer=wordpiece).target.label
    why = lxt.Contrast(None, predicted.strip('"'))
    same = lxt.Contrast("the dull film", "THE dull film")
    with pytest.raises(TargetError, match="'the dull film' and the foil 'THE dull film' are the"):
        lxt.explain(answerer, (QUESTION, CONTEXT), target=same, tokenizer=wordpiece)
    with pytest.raises(TargetError, match="the predicted answer is the foil"):
        lxt.explain(answerer, (QUESTION, CONTEXT), target=why, tokenizer=wordpiece)


def test_no_answer_is_likelier(answerer: Any, wordpiece: Any) -> None:
    with torch.no_grad():
        spoilt = _Spoilt(answerer)
    ex = lxt.explain(spoilt, (QUESTION, CONTEXT), tokenizer=wordpiece, ledger=False)
    said = 'The model finds "no answer" likelier than any answer in the context.'
    assert ex.notes == (said,)
    named = lxt.explain(spoilt, (QUESTION, CONTEXT), target="good", tokenizer=wordpiece)
    assert named.notes == ()


class _Spoilt(torch.nn.Module):
    """Sure that there is no answer; a module of no known name."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.config = inner.config

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> Any:
        out = self.inner(input_ids, attention_mask, token_type_ids)
        add = torch.zeros_like(out.start_logits)
        add[:, 0] = 100
        out["start_logits"] = out.start_logits + add
        return out


def test_long_answers_are_not_predicted() -> None:
    n = answers.LONGEST + 20
    start, end = torch.zeros(n), torch.zeros(n)
    start[3], end[n - 1], end[20] = 5.0, 9.0, 1.0
    ask = answers.AnswerAsk(tuple(range(2, n)), answers.Wanted(None), None, "both")
    # not (3, n - 1), which is too long
    place = answers.chosen(ask, ask.answer, start, end)
    assert place[0] >= n - answers.LONGEST
    assert place[1] == n - 1
    end[n - 1] = 2.0
    assert answers.chosen(ask, ask.answer, start, end) == (3, 20)


def test_an_answer_ends_behind_its_start_and_within_the_context() -> None:
    start, end = torch.tensor([9.0, 1, 2, 5, 0, 0]), torch.tensor([0.0, 6, 5, 1, 2, 9])
    ask = answers.AnswerAsk((1, 2, 3, 4), answers.Wanted(None), None, "both")
    # start 3 with end 1 would be 11
    assert answers.chosen(ask, ask.answer, start, end) in {(1, 1), (2, 2), (3, 4)}
    end[4] = 2.5
    assert answers.chosen(ask, ask.answer, start, end) == (3, 4)


@pytest.mark.parametrize(
    ("text", "target", "error", "said"),
    [
        ((QUESTION, CONTEXT), "nobody", TargetError, "stands in the context, got 'nobody'"),
        ((QUESTION, CONTEXT), " ", TargetError, "stands in the context, got ' '"),
        ((QUESTION, CONTEXT), 3, TargetError, "got int: 3"),
        ((QUESTION, CONTEXT), Token(3), TargetError, "got Token"),
        ((QUESTION, CONTEXT), lxt.Contrast("good", "good"), TargetError, "'good' twice"),
        ((QUESTION, ""), None, InputError, "a context with an answer in it, got ''"),
        (QUESTION, None, InputError, "expected a question and a context"),
        ([QUESTION], None, InputError, "expected a question and a context"),
        ({"question": QUESTION}, None, InputError, "got a dict of question"),
        ([("a", "b", "c")], None, InputError, "got a tuple of 3"),
        ((QUESTION, "x " * 80 + "good"), "good", InputError, "does not read as far as 'good'"),
    ],
)
@pytest.mark.filterwarnings("ignore::lxt_like.errors.TruncationWarning")
def test_mistakes(
    answerer: Any, wordpiece: Any, text: Any, target: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        lxt.explain(answerer, text, target=target, tokenizer=wordpiece)
    with pytest.raises(InputError, match="in text or in pair, got both"):
        lxt.explain(answerer, [(QUESTION, CONTEXT)], pair=["x"], tokenizer=wordpiece)
    with pytest.raises(TargetError, match="'both', 'start' or 'end', got 'middle'"):
        Answer("x", "middle")


def test_a_context_that_is_too_long_says_so(answerer: Any, wordpiece: Any) -> None:
    with pytest.warns(lxt.errors.TruncationWarning, match="not read as a whole"):
        ex = lxt.explain(answerer, (QUESTION, "film " * 80), tokenizer=wordpiece, ledger=False)
    assert "tokens of the context were read" in ex.notes[-1]
    assert math.isfinite(ex.target.score)
