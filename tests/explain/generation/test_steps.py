"""Each step of a generated text is the explanation of one token; all of them add up."""

from __future__ import annotations

from copy import deepcopy
from math import fsum, prod
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

import lxt_like as lxt
from lxt_like.explanation import Account, GenerationData

from ...models import zoo
from .conftest import PROMPT

IDS = [40, 9, 23, 9, 55]
NAMES = ["gpt2", "llama", "t5", "bart"]


def feed(model: Any, tokenizer: Any, written: list[int]) -> tuple[dict[str, Any], int]:
    """The model's inputs with the ids written so far, and how many of the prompt come first."""
    inputs = dict(tokenizer(PROMPT, return_tensors="pt"))
    if model.config.is_encoder_decoder:
        inputs.pop("token_type_ids", None)
        start = model.generation_config.decoder_start_token_id
        inputs["decoder_input_ids"] = torch.tensor([[start, *written]])
        return inputs, inputs["input_ids"].shape[1] + 1
    ids = inputs["input_ids"][0].tolist()
    if ids[-1] == tokenizer.eos_token_id:  # nothing is to follow it
        ids.pop()
    return {"input_ids": torch.tensor([[*ids, *written]])}, len(ids)


def moved(account: Account) -> float:
    """How much relevance an account tells of, of either sign."""
    return fsum(map(abs, [account.score, account.inputs, *account.entries.values()]))


@pytest.mark.parametrize("name", NAMES)
def test_each_step_is_the_attribution_of_one_logit(models: dict[str, Any], name: str) -> None:
    model, tokenizer = models[name]
    ex = lxt.explain_generation(model, PROMPT, IDS, tokenizer=tokenizer)
    assert [token.id for token in ex.written] == IDS
    assert len(ex.steps) == len(ex.tokens) == len(IDS)
    for t, step in enumerate(ex.steps):
        inputs, read = feed(model, tokenizer, IDS[:t])
        a = lxt.attribute(model, inputs, target=lxt.Logit(IDS[t]))
        found = a.relevance.values() if isinstance(a.relevance, dict) else [a.relevance]
        wanted = torch.cat([part[0] for part in found]).tolist()
        assert [token.relevance for token in step.tokens] == pytest.approx(wanted, abs=1e-5)
        assert ex.scores[t] == step.target.score == pytest.approx(float(a.score), abs=1e-5)
        logits = a.output.logits[0, -1].double()
        assert ex.probabilities[t] == pytest.approx(float(logits.softmax(-1)[IDS[t]]), abs=1e-6)

        words = len(ex.words)
        assert ex.relevance[t, words : words + t] == pytest.approx(wanted[read:], abs=1e-5)
        assert not ex.relevance[t, words + t :].any()
        prompt = fsum(ex.relevance[t, :words]) + ex.special[t]
        assert prompt == pytest.approx(fsum(wanted[:read]), abs=1e-5)


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
@pytest.mark.parametrize("name", NAMES)
def test_the_ledger_closes_for_each_step_and_in_total(
    models: dict[str, Any], name: str, composite: str
) -> None:
    model, tokenizer = models[name]
    ex = lxt.explain_generation(
        model, PROMPT, tokenizer=tokenizer, max_new_tokens=4, composite=composite
    )
    for row, special, step in zip(ex.relevance, ex.special, ex.steps, strict=True):
        account = step.account
        assert account is not None
        rest = account.score - row.sum() - special - fsum(account.entries.values())
        assert abs(rest) + abs(account.gap) + account.unruled <= 1e-4 * moved(account)
    account = ex.account
    assert account is not None
    assert account.score == pytest.approx(ex.scores.sum(), abs=1e-9)
    inputs = ex.relevance.sum() + ex.special.sum()
    assert account.inputs == pytest.approx(inputs, abs=1e-4)
    rest = account.score - inputs - fsum(account.entries.values())
    assert abs(rest) + abs(account.gap) + account.unruled <= 1e-4 * moved(account)
    assert fsum(token.relevance for token in ex.total.tokens) == pytest.approx(inputs, abs=1e-9)
    assert ex.target.probability == pytest.approx(prod(ex.probabilities))
    assert [w.relevance for w in ex.words] == pytest.approx(
        ex.relevance[:, : len(ex.words)].sum(0).tolist(), abs=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_as_one_by_one(models: dict[str, Any], name: str) -> None:
    model, tokenizer = models[name]
    one, many = (
        lxt.explain_generation(model, PROMPT, IDS, tokenizer=tokenizer, batch_size=n, ledger=ledger)
        for n, ledger in ((1, False), (3, True))
    )
    assert one.relevance == pytest.approx(many.relevance, abs=1e-5)
    assert one.special == pytest.approx(many.special, abs=1e-5)
    assert (one.account, one.tokens, one.output) == (None, many.tokens, many.output)


@pytest.mark.parametrize("name", NAMES)
def test_generated_is_forced_with_the_same_ids(models: dict[str, Any], name: str) -> None:
    model, tokenizer = models[name]
    before = deepcopy(model.generation_config.to_dict())
    state = {key: value.clone() for key, value in model.state_dict().items()}
    kinds = [type(module) for module in model.modules()]
    model.train()
    ex = lxt.explain_generation(model, PROMPT, tokenizer=tokenizer, max_new_tokens=6)
    assert all(module.training for module in model.modules())
    model.eval()
    assert model.generation_config.to_dict() == before
    assert [type(module) for module in model.modules()] == kinds
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())

    wanted: list[int] = []
    for _ in range(6):  # the likeliest token, again and again
        inputs, _ = feed(model, tokenizer, wanted)
        with torch.no_grad():
            wanted.append(int(model(**inputs).logits[0, -1].argmax()))
        if wanted[-1] == model.generation_config.eos_token_id:
            wanted.pop()
            break
    if model.generation_config.forced_eos_token_id is not None:
        wanted = wanted[:5]  # the sixth is forced to be the end
    found = [token.id for token in ex.written]
    assert found == wanted
    assert ex == lxt.explain_generation(model, PROMPT, found, tokenizer=tokenizer)
    as_made = torch.tensor([found])
    assert ex == lxt.explain_generation(model, PROMPT, as_made, tokenizer=tokenizer)


def test_outputs_begin_as_the_model_begins_them(unigram: Any) -> None:
    """A first token that is forced is no part of the output, but read."""
    model = zoo.build("bart", "seq2seq-lm")
    model.generation_config.forced_bos_token_id = 2
    model.generation_config.forced_eos_token_id = None
    ex = lxt.explain_generation(model, PROMPT, tokenizer=unigram, max_new_tokens=4)
    inputs = unigram(PROMPT, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=5, do_sample=False, num_beams=1)[0].tolist()
    assert made[:2] == [model.generation_config.decoder_start_token_id, 2]
    assert [token.id for token in ex.written] == made[2:]
    assert [token.id for token in ex.steps[0].tokens][-2:] == made[:2]


def test_what_the_model_does_by_itself_is_kept_and_sampling_is_not(
    writer: Any, byte_bpe: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = deepcopy(writer)
    greedy = lxt.explain_generation(model, PROMPT, tokenizer=byte_bpe, max_new_tokens=3)
    first = greedy.written[0].id
    config = model.generation_config
    config.do_sample, config.temperature, config.top_p, config.num_beams = True, 9.0, 0.5, 3
    config.max_length, config.pad_token_id = 4, None
    before = config.to_dict()
    options = {"tokenizer": byte_bpe, "max_new_tokens": 3}
    assert lxt.explain_generation(model, PROMPT, **options) == greedy
    assert config.to_dict() == before
    config.suppress_tokens = [first]
    other = lxt.explain_generation(model, PROMPT, **options)
    assert first not in [token.id for token in other.written]
    assert not caplog.records


def test_the_end_token_ends_the_output_and_is_left_out(writer: Any, byte_bpe: Any) -> None:
    model = deepcopy(writer)
    free = lxt.explain_generation(model, PROMPT, tokenizer=byte_bpe, max_new_tokens=4)
    ids = [token.id for token in free.written]
    stop = next(i for i in ids if i != ids[0])
    for ends in (stop, [3, stop]):
        model.generation_config.eos_token_id = ends
        ex = lxt.explain_generation(model, PROMPT, tokenizer=byte_bpe, max_new_tokens=4)
        assert [token.id for token in ex.written] == ids[: ids.index(stop)]
    given = ids[: ids.index(stop) + 1]
    ex = lxt.explain_generation(model, PROMPT, given, tokenizer=byte_bpe)
    assert [token.id for token in ex.written] == given
    model.generation_config.eos_token_id = ids[0]
    with pytest.raises(lxt.errors.InputError, match="ends its output before the first token"):
        lxt.explain_generation(model, PROMPT, tokenizer=byte_bpe)


def test_output_tokens_sum_to_words(writer: Any, byte_bpe: Any) -> None:
    ex = lxt.explain_generation(writer, PROMPT, " film\nfilms ended", tokenizer=byte_bpe)
    made = ex.by_word()
    assert [word.text for word in made.written] == ["film", "films", "ended"]
    assert made.words == ex.words
    first = len(ex.words)
    texts = [token.word for token in ex.written]
    assert None in texts
    for n, word in enumerate(made.written):
        rows = [t for t, of in enumerate(texts) if of == first + n]
        assert made.scores[n] == pytest.approx(ex.scores[rows].sum())
        assert made.relevance[n, :first] == pytest.approx(ex.relevance[rows, :first].sum(0))
        assert word.relevance == pytest.approx(ex.relevance[:, [first + r for r in rows]].sum())
        for m in range(len(made.written)):
            columns = [first + t for t, of in enumerate(texts) if of == first + m]
            wanted = ex.relevance[np.ix_(rows, columns)].sum()
            assert made.relevance[n, first + m] == pytest.approx(wanted, abs=1e-9)
    assert not made.relevance[0, first + 1 :].any()


def test_pipelines_folders_and_prints(
    translator: Any, unigram: Any, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    translator.save_pretrained(tmp_path)
    unigram.save_pretrained(tmp_path)
    ex = lxt.explain_generation(str(tmp_path), "A film", max_new_tokens=3)
    model, tokenizer = translator, unigram
    same = lxt.explain_generation(model, "A film", max_new_tokens=3, tokenizer=tokenizer)
    assert ex.relevance == pytest.approx(same.relevance, abs=1e-6)
    assert ex.model == tmp_path.name
    assert isinstance(ex, GenerationData)
    assert isinstance(ex.steps[0], lxt.TextExplanation)
    assert isinstance(ex.total, lxt.TextExplanation)
    assert repr(ex).startswith("GenerationExplanation('A film', output=")


def test_a_pipeline(writer: Any, byte_bpe: Any) -> None:
    pipe = pipeline("text-generation", model=writer, tokenizer=byte_bpe)
    ex = lxt.explain_generation(pipe, PROMPT, " film", progress=True)
    assert ex.output == " film"
