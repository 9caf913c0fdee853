from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

import lxt_like as lxt
from lxt_like.errors import InputError, ModelError, TargetError
from lxt_like.explain.encode import encode_target

from .. import makers
from .checks import closes, every_format, outputs, relevance_of, same

SOURCE = "A gripping, funny film"
PREFIX = "A good"


def feed(unigram: Any, prefix: str | None) -> dict[str, Any]:
    written = unigram(prefix, add_special_tokens=False)["input_ids"] if prefix else []
    return {
        **unigram(SOURCE, return_tensors="pt"),
        "decoder_input_ids": torch.tensor([[0, *written]]),
    }


def logit_of(token: int, output: Any) -> Any:
    return output.logits[:, -1, token]


@pytest.mark.parametrize("prefix", [None, PREFIX])
def test_source_and_prefix(
    translator: Any, unigram: Any, prefix: str | None, tmp_path: Path
) -> None:
    inputs = feed(unigram, prefix)
    inputs.pop("token_type_ids", None)
    logits = outputs(translator, **inputs).logits[0, -1].double()
    best = int(logits.argmax())
    ex = lxt.explain(translator, SOURCE, prefix=prefix, tokenizer=unigram)
    assert ex.target.index == best
    assert ex.target.score == pytest.approx(float(logits[best]), abs=1e-5)
    assert ex.target.probability == pytest.approx(float(logits.softmax(-1)[best]), abs=1e-6)
    assert ex.texts == ((SOURCE,) if prefix is None else (SOURCE, PREFIX))
    words = [(w.text, w.segment) for w in ex.words]
    source = [("A", 0), ("gripping", 0), (",", 0), ("funny", 0), ("film", 0)]
    assert words == source + ([] if prefix is None else [("A", 1), ("good", 1)])
    assert [t.text for t in ex.tokens if t.special] == ["<s>", "</s>", "<pad>"]
    wanted = relevance_of(translator, inputs, partial(logit_of, best))
    assert [t.relevance for t in ex.tokens] == pytest.approx(wanted, abs=1e-5)
    closes(ex)
    every_format(ex, tmp_path)


def test_targets(translator: Any, unigram: Any) -> None:
    logits = outputs(translator, **feed(unigram, PREFIX)).logits[0, -1]
    film = unigram.convert_tokens_to_ids("▁film")
    ex = lxt.explain(translator, SOURCE, prefix=PREFIX, target="film", tokenizer=unigram)
    assert (ex.target.label, ex.target.index) == ('" film"', film)
    assert ex.target.score == pytest.approx(float(logits[film]), abs=1e-5)
    why = lxt.Contrast("film", 7)
    ex = lxt.explain(translator, SOURCE, prefix=PREFIX, target=why, tokenizer=unigram)
    assert ex.target.score == pytest.approx(float(logits[film] - logits[7]), abs=1e-5)
    closes(ex)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_several_sources_go_together(translator: Any, unigram: Any, batch_size: int) -> None:
    sources = [SOURCE, "a", "a good film"]
    prefixes = ["a", "a good film", "not"]
    options = {"tokenizer": unigram, "target": 9}
    many = lxt.explain(translator, sources, prefix=prefixes, batch_size=batch_size, **options)
    for ex, source, prefix in zip(many, sources, prefixes, strict=True):
        same(ex, lxt.explain(translator, source, prefix=prefix, **options))
        closes(ex)
    for ex in lxt.explain(translator, sources, prefix="a", batch_size=batch_size, **options):
        same(ex, lxt.explain(translator, ex.text, prefix="a", **options))


def test_outputs_begin_as_when_the_model_generates(unigram: Any) -> None:
    sizes = {
        f"{part}_{name}": n
        for part in ("encoder", "decoder")
        for name, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))
    }
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    torch.manual_seed(0)
    made = BartConfig(
        vocab_size=len(unigram),
        d_model=32,
        max_position_embeddings=64,
        decoder_start_token_id=3,
        **sizes,
        **special,
    )
    bart = makers.stirred(BartForConditionalGeneration(made))
    bart.generation_config.forced_bos_token_id = 2
    ex = lxt.explain(bart, SOURCE, prefix=PREFIX, tokenizer=unigram)
    assert [t.text for t in ex.tokens if t.special] == ["<s>", "</s>", "</s>", "<s>"]
    closes(ex)
    written = bart.generate(**unigram(SOURCE, return_tensors="pt"), max_new_tokens=3, num_beams=1)
    assert written[0, :2].tolist() == [3, 2]
    bart.config.decoder_start_token_id = bart.generation_config.decoder_start_token_id = None
    bart.config.bos_token_id = bart.generation_config.bos_token_id = None
    with pytest.raises(ModelError, match="what its outputs begin with"):
        lxt.explain(bart, SOURCE, tokenizer=unigram)


def test_a_long_source_is_cut_and_a_long_prefix_is_refused(
    translator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = makers.unigram()
    tokenizer.model_max_length = 12
    with pytest.warns(lxt.errors.TruncationWarning):
        ex = lxt.explain(translator, "film " * 20, prefix="a good", tokenizer=tokenizer)
    assert [t.special for t in ex.tokens].count(True) == 3
    assert len([t for t in ex.tokens if t.segment == 0 and not t.special]) == 10
    assert ex.texts[1] == "a good"
    closes(ex)
    with pytest.raises(InputError, match="a prefix of at most 12 tokens"):
        lxt.explain(translator, "a", prefix="film " * 20, tokenizer=tokenizer)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"pair": "x"}, InputError, "is given by prefix="),
        ({"prefix": ["a", "b"]}, InputError, "one prefix for the text, got 2"),
        ({"prefix": 3}, InputError, "prefix to be a str or a list"),
        ({"target": "a film"}, TargetError, "one token"),
    ],
)
def test_mistakes(
    translator: Any, unigram: Any, options: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        lxt.explain(translator, SOURCE, tokenizer=unigram, **options)


def test_tokenizers_with_a_vocabulary_for_outputs_are_told_so(unigram: Any) -> None:
    class Marian:
        """Notes in which mode it is asked."""

        is_fast = True

        def __init__(self) -> None:
            self.modes: list[str] = []

        def _switch_to_target_mode(self) -> None:
            self.modes.append("output")

        def _switch_to_input_mode(self) -> None:
            self.modes.append("input")

        def __call__(self, *given: Any, **options: Any) -> Any:
            self.modes.append("asked")
            return unigram(*given, **options)

        def convert_ids_to_tokens(self, ids: Any) -> Any:
            return unigram.convert_ids_to_tokens(ids)

    tokenizer = Marian()
    from lxt_like.explain.encode import encode

    source = encode(unigram, SOURCE)
    made = encode_target(tokenizer, source, PREFIX, [0])
    assert tokenizer.modes == ["output", "asked", "input"]
    assert made.decoder == len(source)
    assert made.ids[len(source) :] == [0, *unigram(PREFIX, add_special_tokens=False)["input_ids"]]
