"""A self-contained HTML page, or a fragment of one for notebooks; no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..errors import InputError
from ..explanation import Explained, GenerationData, ImageData, TextData
from .colors import DARK, LIGHT, ColorScale, ink, to_hex
from .escape import one_line
from .html_generation import GenerationCard, generation_card
from .html_image import ImageCard, image_card
from .html_parts import STEPS, shade_of
from .html_text import TextCard, text_card
from .layout import as_list
from .pages import environment


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
    Of a generated text each token can be chosen.  ``view``: which picture of an image.
    """
    items = as_list(data)
    if title is not None and not isinstance(title, str):
        raise InputError(f"title must be a string, got {type(title).__name__}")
    if title is None:
        first = items[0]
        about = (first.name or "an image") if isinstance(first, ImageData) else _begin(first)
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


def _begin(data: TextData | GenerationData) -> str:
    return (data.text if isinstance(data, TextData) else data.prompt)[:60]


@cache
def _shades(scale: ColorScale) -> list[tuple[str, str, str]]:
    """(name, background, text colour) of every shade of a scale."""
    values = [sign * step / STEPS for sign in (1, -1) for step in range(1, STEPS + 1)]
    shades = [("zero", scale.neutral, to_hex(ink(scale(0.0))))]
    return shades + [(shade_of(v), to_hex(scale(v)), to_hex(ink(scale(v)))) for v in values]


def _card_of(data: Explained, view: str | None) -> TextCard | GenerationCard | ImageCard:
    if isinstance(data, TextData):
        return text_card(data)
    return generation_card(data) if isinstance(data, GenerationData) else image_card(data, view)
