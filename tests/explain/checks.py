"""What must hold for the words of any text with any tokenizer."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lxt_like.errors import InputError
from lxt_like.explain.encode import encode
from lxt_like.explain.words import words_and_tokens

from . import makers
from .strategies import odd_text

LOSSLESS = ("byte_bpe", "byt5", "canine")


def tokenizers(folder: Path) -> dict[str, Any]:
    """One of each kind, by name; ``folder`` takes the slow tokenizer's vocabulary."""
    return {
        "wordpiece": makers.wordpiece(),
        "byte_bpe": makers.byte_bpe(),
        "unigram": makers.unigram(),
        "slow_wordpiece": makers.slow_wordpiece(folder),
        "byt5": makers.byt5(),
        "canine": makers.canine(),
    }


def check_words(tokenizer: Any, text: str, pair: str | None = None, lossless: bool = False) -> None:
    """Raise AssertionError if a token is lost or counted twice or a word is not the text's."""
    try:
        encoding = encode(tokenizer, text, pair)
    except InputError:
        assert not tokenizer(text, pair)["input_ids"]
        return
    assert encoding.ids == list(tokenizer(text, pair, verbose=False)["input_ids"])
    rng = random.Random(len(text))
    # whole numbers: their sums are exact
    relevance = [float(rng.randrange(-(2**40), 2**40)) for _ in encoding.ids]
    words, tokens = words_and_tokens(encoding, relevance)

    assert [t.id for t in tokens] == encoding.ids
    assert [t.relevance for t in tokens] == relevance
    loose = sum(t.relevance for t in tokens if t.word is None)
    assert sum(w.relevance for w in words) + loose == sum(relevance)
    assert [w.segment for w in words] == sorted(w.segment for w in words)
    for number, word in enumerate(words):
        mine = [t for t in tokens if t.word == number]
        assert mine
        assert word.relevance == sum(t.relevance for t in mine)
        assert all(t.segment == word.segment and not t.special for t in mine)
    for segment, raw in enumerate(encoding.texts):
        _check_spans(raw, [w for w in words if w.segment == segment])
        covered = {i for w in words if w.segment == segment for i in range(w.start, w.end)}
        for token in tokens:
            if token.segment != segment or token.start is None or token.end is None:
                continue
            assert 0 <= token.start <= token.end <= len(raw)
            solid = {i for i in range(token.start, token.end) if not raw[i].isspace()}
            assert solid <= covered
            assert not solid or token.word is not None
        if lossless:
            assert covered >= {i for i, c in enumerate(raw) if not c.isspace()}


def _check_spans(raw: str, words: list[Any]) -> None:
    last = 0
    for word in words:
        assert last <= word.start < word.end <= len(raw)
        assert word.text == raw[word.start : word.end]
        assert word.text == word.text.strip()
        last = word.end


def fuzz_words(
    n: int, folder: Path, seed: int = 0, report: Callable[[int], None] | None = None
) -> int:
    """``n`` odd strings, each through every tokenizer; the number of strings that were checked.

    Raises:
        AssertionError: with the tokenizer and the string that failed.
    """
    kinds = tokenizers(folder)
    rng = random.Random(seed)
    for done in range(n):
        text = odd_text(rng)
        pair = odd_text(rng, 5) if rng.random() < 0.2 else None
        for name, tokenizer in kinds.items():
            try:
                check_words(tokenizer, text, pair, name in LOSSLESS)
            except Exception as error:
                raise AssertionError(f"{name} fails for {text!r} with pair {pair!r}") from error
        if report is not None:
            report(done + 1)
    return n
