"""The HTML card of one explained text, and what the card of a generated text shares with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..explanation import TextData, Token
from . import account
from .colors import largest, normalise
from .escape import one_line
from .html_parts import Bar, bar_of, shade_of
from .layout import chips, origin, printed, spans, tokens_of
from .numbers import decimals_for, percent, signed


@dataclass(frozen=True, slots=True)
class Item:
    """A word, gap or chip as the template sees it; the template escapes.

    ``mark``: a class of its own, for text that has no relevance.
    """

    text: str
    shade: str = ""
    title: str = ""
    value: str = ""
    tokens: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class TextCard:
    """Everything the template shows of one explained text."""

    label: str
    score: str
    probability: str
    origin: str
    segments: list[list[Item]]
    chips: list[Item]
    words: list[Item]
    limit: str
    bars: list[Bar]
    result: Bar
    checks: list[str]
    closes: bool
    notes: list[str]
    template: str = "card.html"


def text_card(data: TextData) -> TextCard:
    """The card of an explained text."""
    table = account.table(data)
    peak = largest(data)
    words = words_of(data)
    return TextCard(
        label=one_line(data.target.label),
        score=score_of(data),
        probability=probability_of(data),
        origin=" · ".join(map(one_line, origin(data))),
        segments=segments_of(data, words),
        chips=chips_of(data),
        words=words,
        limit=signed(peak, decimals_for(peak)).lstrip("+"),
        bars=[bar_of(row, table.extent()) for row in table.rows],
        result=bar_of(table.result, table.extent()),
        checks=[one_line(check) for check in table.checks],
        closes=table.closes,
        notes=[one_line(note) for note in data.notes],
    )


def score_of(data: TextData) -> str:
    """The explained score as shown."""
    return signed(data.target.score, decimals_for(data.target.score, digits=4))


def probability_of(data: TextData) -> str:
    """The probability as shown; nothing where there is none."""
    return "" if data.target.probability is None else percent(data.target.probability)


def words_of(data: TextData) -> list[Item]:
    """The words, each with its shade, its number and its tokens."""
    peak = largest(data)
    decimals = decimals_for(peak)
    words = []
    for word, tokens in zip(data.words, tokens_of(data), strict=True):
        value = signed(word.relevance, decimals)
        shown = one_line(word.text)
        pieces = _pieces(tokens, decimals)
        words.append(
            Item(shown, shade_of(normalise(word.relevance, peak)), f"{shown} {value}\n{pieces}",
                 value, pieces)
        )  # fmt: skip
    return words


def segments_of(data: TextData, words: Sequence[Item]) -> list[list[Item]]:
    """Each raw text as its words and the gaps between them."""
    return [
        [
            Item(span.text)
            if span.word is None
            else Item(span.text, words[span.word].shade, words[span.word].title)
            for span in printed(spans(data, segment))
        ]
        for segment in range(len(data.texts))
    ]


def chips_of(data: TextData) -> list[Item]:
    """The tokens that belong to no word."""
    peak = largest(data)
    decimals = decimals_for(peak)
    marks = []
    for chip in chips(data):
        text = one_line(chip.text) + (f" ×{chip.count}" if chip.count > 1 else "")
        value = signed(chip.relevance, decimals)
        marks.append(Item(text, shade_of(normalise(chip.relevance, peak)), "", value))
    return marks


def _pieces(tokens: Sequence[Token], decimals: int | None) -> str:
    parts = [f"{one_line(token.text)} {signed(token.relevance, decimals)}" for token in tokens]
    return " · ".join(parts)
