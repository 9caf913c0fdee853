"""A real language model explained token by token as it tells its story."""

from __future__ import annotations

import json
from math import fsum

import pytest
import torch

import lxt_like as lxt
from tests.oracles.llama import llama

from .stories import stories

BEGINNING = "Once upon a time, there was a little girl named"
TOKENS = 8


def test_it_is_rebuilt_as_it_was_trained() -> None:
    model, tokenizer = stories()
    inputs = tokenizer("Once upon a time, there was a little girl named Lily.", return_tensors="pt")
    with torch.no_grad():
        loss = model(**inputs, labels=inputs["input_ids"]).loss
    # with a wrong RoPE, or other pieces, about 3
    assert float(loss) < 0.2


def test_a_story_token_by_token() -> None:
    model, tokenizer = stories()
    text = BEGINNING
    for _ in range(TOKENS):
        ex = lxt.explain(model, text, tokenizer=tokenizer)
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0, -1].double()
        assert ex.target.index == int(logits.argmax())
        assert ex.target.score == pytest.approx(float(logits.max()), abs=1e-4)
        assert ex.target.probability == pytest.approx(float(logits.softmax(-1).max()), abs=1e-6)

        account = ex.account
        assert account is not None
        assert abs(account.gap) < 1e-4
        assert account.unruled < 1e-4
        shown = fsum(w.relevance for w in ex.words) + ex.special
        assert shown + fsum(account.entries.values()) == pytest.approx(ex.target.score, abs=1e-4)

        wanted = llama(model, inputs, ex.target.index)["embeddings"][0].sum(-1)
        assert [t.relevance for t in ex.tokens] == pytest.approx(wanted.tolist(), abs=1e-4)
        text += json.loads(ex.target.label)
    assert f"{BEGINNING} Lily. She loved to play outside".startswith(text)
    assert text.startswith(f"{BEGINNING} Lily. She")


def test_a_whole_story() -> None:
    model, tokenizer = stories()
    ex = lxt.explain_generation(model, BEGINNING, tokenizer=tokenizer, max_new_tokens=TOKENS)
    assert f"{BEGINNING} Lily. She loved to play outside".startswith(ex.prompt + ex.output)
    prompt = tokenizer(BEGINNING)["input_ids"]
    for t, token in enumerate(ex.written):
        ids = torch.tensor([[*prompt, *(before.id for before in ex.written[:t])]])
        wanted = llama(model, {"input_ids": ids}, token.id)["embeddings"][0].sum(-1)
        found = [token.relevance for token in ex.steps[t].tokens]
        assert found == pytest.approx(wanted.tolist(), abs=1e-4)
        alone = lxt.explain(model, ex.prompt + ex.output[: token.start], tokenizer=tokenizer)
        assert alone.target.index == token.id
        assert [t.relevance for t in alone.tokens] == pytest.approx(found, abs=1e-5)
    account = ex.account
    assert account is not None
    rest = ex.scores.sum() - ex.relevance.sum() - ex.special.sum() - fsum(account.entries.values())
    assert abs(rest) < 1e-4 * account.score
    assert abs(account.gap) + account.unruled < 1e-4 * account.score
    forced = lxt.explain_generation(model, BEGINNING, ex.output, tokenizer=tokenizer)
    assert forced == ex


def test_why_this_token_rather_than_that() -> None:
    model, tokenizer = stories()
    text = "Lily was sad because she lost her"
    why = lxt.Contrast(" b", " t")
    ex = lxt.explain(model, text, target=why, tokenizer=tokenizer)
    assert ex.target.label == '" b" rather than " t"'
    one, other = (
        lxt.explain(model, text, target=token, tokenizer=tokenizer) for token in (" b", " t")
    )
    assert ex.target.score == pytest.approx(one.target.score - other.target.score, abs=1e-4)
    for word, a, b in zip(ex.words, one.words, other.words, strict=True):
        assert word.relevance == pytest.approx(a.relevance - b.relevance, abs=1e-4)
    assert one.target.probability is not None
    assert other.target.probability is not None
    # log-odds
    odds = one.target.probability / other.target.probability
    assert ex.target.score == pytest.approx(torch.tensor(odds).log().item(), abs=1e-4)
