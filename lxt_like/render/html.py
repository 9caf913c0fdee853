"""A self-contained HTML page, or a fragment of one for notebooks; no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from ..errors import InputError
from ..explanation import Explained, TextData, Token
from . import account
from .colors import DARK, LIGHT, ColorScale, ink, largest, normalise, to_hex
from .escape import one_line
from .html_image import ImageCard, image_card
from .html_parts import STEPS, Bar, bar_of, shade_of
from .layout import as_list, chips, origin, printed, spans, tokens_of
from .numbers import decimals_for, percent, signed
from .pages import environment

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class _Item:
    """A word, gap or chip as the template sees it; the template escapes."""

    text: str
    shade: str = ""
    title: str = ""
    value: str = ""
    tokens: str = ""


@dataclass(frozen=True, slots=True)
class _Card:
    """Everything the template shows of one explained text."""

    label: str
    score: str
    probability: str
    origin: str
    segments: list[list[_Item]]
    chips: list[_Item]
    words: list[_Item]
    limit: str
    bars: list[Bar]
    result: Bar
    checks: list[str]
    closes: bool
    notes: list[str]
    template: str = "card.html"


def to_html(
    data: Explained | Sequence[Explained],
    title: str | None = None,
    fragment: bool = False,
    view: str | None = None,
) -> str:
    """One explanation or several as HTML.

    A whole page by default, readable on a phone and in dark mode; ``fragment=True`` gives a
    ``<div>`` with its own style and scoped class names, as ``_repr_html_`` needs it.  Hovering
    over a word shows its relevance and its tokens; a table under the text lists all of them.
    ``view``: which picture of an image.
    """
    items = as_list(data)
    if title is not None and not isinstance(title, str):
        raise InputError(f"title must be a string, got {type(title).__name__}")
    if title is None:
        first = items[0]
        about = first.text[:60] if isinstance(first, TextData) else first.name or "an image"
        title = f"{first.target.label}: {about}"
    template = environment("lxt_like.render").get_template(
        "fragment.html" if fragment else "page.html"
    )
    return template.render(
        title=one_line(title),
        cards=[_card_of(item, view) for item in items],
        light=_shades(LIGHT),
        dark=_shades(DARK),
        ramp=[to_hex(LIGHT(share / 4)) for share in range(-4, 5)],
        stops=[shade_of(share / 4) or "zero" for share in range(-4, 5)],
    )


@cache
def _shades(scale: ColorScale) -> list[tuple[str, str, str]]:
    """(name, background, text colour) of every shade of a scale."""
    values = [sign * step / STEPS for sign in (1, -1) for step in range(1, STEPS + 1)]
    shades = [("zero", scale.neutral, to_hex(ink(scale(0.0))))]
    return shades + [(shade_of(v), to_hex(scale(v)), to_hex(ink(scale(v)))) for v in values]


def _card_of(data: Explained, view: str | None) -> _Card | ImageCard:
    return _card(data) if isinstance(data, TextData) else image_card(data, view)


def _card(data: TextData) -> _Card:
    table = account.table(data)
    peak = largest(data)
    decimals = decimals_for(peak)
    words = []
    for word, tokens in zip(data.words, tokens_of(data), strict=True):
        value = signed(word.relevance, decimals)
        shown = one_line(word.text)
        pieces = _pieces(tokens, decimals)
        words.append(
            _Item(shown, shade_of(normalise(word.relevance, peak)), f"{shown} {value}\n{pieces}",
                  value, pieces)
        )  # fmt: skip
    segments = [
        [
            _Item(span.text)
            if span.word is None
            else _Item(span.text, words[span.word].shade, words[span.word].title)
            for span in printed(spans(data, segment))
        ]
        for segment in range(len(data.texts))
    ]
    marks = []
    for chip in chips(data):
        text = one_line(chip.text) + (f" ×{chip.count}" if chip.count > 1 else "")
        value = signed(chip.relevance, decimals)
        marks.append(_Item(text, shade_of(normalise(chip.relevance, peak)), "", value))
    target = data.target
    return _Card(
        label=one_line(target.label),
        score=signed(target.score, decimals_for(target.score, digits=4)),
        probability="" if target.probability is None else percent(target.probability),
        origin=" · ".join(map(one_line, origin(data))),
        segments=segments,
        chips=marks,
        words=words,
        limit=signed(peak, decimals).lstrip("+"),
        bars=[bar_of(row, table.extent()) for row in table.rows],
        result=bar_of(table.result, table.extent()),
        checks=[one_line(check) for check in table.checks],
        closes=table.closes,
        notes=[one_line(note) for note in data.notes],
    )


def _pieces(tokens: Sequence[Token], decimals: int | None) -> str:
    parts = [f"{one_line(token.text)} {signed(token.relevance, decimals)}" for token in tokens]
    return " · ".join(parts)
