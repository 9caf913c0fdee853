from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from lxt_like.explain import words as words_module
from lxt_like.explain.encode import encode
from lxt_like.explain.words import group, words_and_tokens

from . import makers
from .checks import LOSSLESS, check_words, fuzz_words, tokenizers
from .strategies import odd_texts

NAMES = ["wordpiece", "byte_bpe", "unigram", "slow_wordpiece", "byt5", "canine"]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tokenizers(tmp_path_factory.mktemp("vocabulary"))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=odd_texts())
def test_every_token_counts_once(kinds: dict[str, Any], name: str, text: str) -> None:
    check_words(kinds[name], text, lossless=name in LOSSLESS)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=odd_texts(5), pair=odd_texts(5))
def test_pairs(kinds: dict[str, Any], name: str, text: str, pair: str) -> None:
    check_words(kinds[name], text, pair, lossless=name in LOSSLESS)


def test_the_fuzzer_runs_and_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fuzz_words(20, tmp_path) == 20

    def lose_one(text: str, spans: Any) -> Any:
        bounds, members = group(text, spans)
        return bounds, [None if i == 1 else m for i, m in enumerate(members)]

    monkeypatch.setattr(words_module, "group", lose_one)
    with pytest.raises(AssertionError, match="fails for"):
        fuzz_words(20, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_words_for_every_tokenizer(kinds: dict[str, Any], name: str) -> None:
    text = "A gripping,  funny film: doesn't\nlet go 👍🏽 été!"
    encoding = encode(kinds[name], text)
    words, _ = words_and_tokens(encoding, [1.0] * len(encoding))
    assert [w.text for w in words] == [
        *["A", "gripping", ",", "funny", "film", ":", "doesn't", "let", "go", "👍🏽", "été", "!"]
    ]


def test_words_that_share_a_token_are_one() -> None:
    assert group("(film),", [(0, 1), (1, 5), (5, 7)]) == ([(0, 1), (1, 5), (5, 7)], [0, 1, 2])
    assert group("of the film", [(0, 6), (6, 11)]) == ([(0, 6), (7, 11)], [0, 1])


def test_words_without_a_token_are_not_listed() -> None:
    assert group("read cut off", [(0, 4), (4, 4), (4, 8)]) == ([(0, 4), (5, 8)], [0, None, 1])


def test_white_space_and_empty_spans() -> None:
    # a bare metaspace of no width goes with the word it stands in front of
    assert group("a b", [(0, 0), (0, 1), (1, 2), (2, 3)]) == ([(0, 1), (2, 3)], [0, 0, None, 1])


def test_special_tokens_stand_apart(wordpiece: Any) -> None:
    encoding = encode(wordpiece, "good [SEP]", "dull")
    words, tokens = words_and_tokens(encoding, [float(i) for i in range(len(encoding))])
    assert [t.special for t in tokens] == [True, False, False, True, *[False] * 1, True]
    assert [t.text for t in tokens] == ["[CLS]", "good", "[SEP]", "[SEP]", "dull", "[SEP]"]
    assert [(w.text, w.relevance, w.segment) for w in words] == [
        ("good", 1.0, 0),
        ("[SEP]", 2.0, 0),
        ("dull", 4.0, 1),
    ]


def test_an_emoji_cut_into_bytes_is_one_word() -> None:
    encoding = encode(makers.byte_bpe(), "x 👩‍👩‍👧 y")
    words, tokens = words_and_tokens(encoding, [1.0] * len(encoding))
    assert [w.text for w in words] == ["x", "👩‍👩‍👧", "y"]
    assert words[1].relevance == sum(t.word == 1 for t in tokens) >= 15
