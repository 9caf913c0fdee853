"""Generated texts written by hand: the numbers and the places are known."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from lxt_like.explanation import Account, GenerationData, TargetInfo, TextData, Token, Word


def generated(prompt: Sequence[str], tokens: Sequence[str], broken: float = 0.0) -> GenerationData:
    """A prompt of words joined by spaces, and an output of tokens joined by nothing.

    Word w holds w + 1 for token t times (-1) ** t, output token j holds 10 + j; ``<s>`` holds
    0.5, the bias 0.25.  ``broken``: what the first step's first word holds beside.
    """
    text, output = " ".join(prompt), "".join(tokens)
    steps = []
    for t in range(len(tokens)):
        words = [float((w + 1) * (-1) ** t) for w in range(len(prompt))]
        if t == 0 and words:
            words[0] += broken
        steps.append(_explained(text, prompt, tokens[:t], words, [10.0 + j for j in range(t)], t))
    sums = [fsum(step.words[w].relevance for step in steps) for w in range(len(prompt))]
    count = len(tokens)
    later = [(10.0 + j) * (count - 1 - j) for j in range(count)]
    total = _explained(text, prompt, tokens, sums, later, count, scale=count)
    assert total.texts == (text, output)
    return GenerationData(total, tuple(steps), tuple(tokens))


def _explained(
    text: str,
    prompt: Sequence[str],
    before: Sequence[str],
    words: Sequence[float],
    written: Sequence[float],
    t: int,
    scale: int = 1,
) -> TextData:
    made: list[Word] = []
    tokens = [Token("<s>", 1, 0.5 * scale, special=True)]
    at = 0
    for part, relevance in zip(prompt, words, strict=True):
        made.append(Word(part, at, at + len(part), relevance))
        tokens.append(Token(part, 7, relevance, at, at + len(part), len(made) - 1))
        at += len(part) + 1
    at = 0
    for j, (part, relevance) in enumerate(zip(before, written, strict=True)):
        made.append(Word(part, at, at + len(part), relevance, 1))
        tokens.append(Token(part, 20 + j, relevance, at, at + len(part), len(made) - 1, 1))
        at += len(part)
    inputs = fsum(token.relevance for token in tokens)
    score = inputs + 0.25 * scale
    return TextData(
        (text, "".join(before)) if before else (text,),
        TargetInfo(f"token {t}", t, score, 0.5),
        tuple(made),
        tuple(tokens),
        Account(score, inputs, {"bias": 0.25 * scale}),
        "tiny",
        "attnlrp",
    )
