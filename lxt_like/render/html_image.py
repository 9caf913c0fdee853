"""The HTML card of one explained image."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

from ..explanation import ImageData
from . import account
from .escape import one_line
from .heatmap import Picture
from .html_parts import Bar, bar_of
from .layout import origin
from .numbers import decimals_for, percent, signed
from .views import Panel, panels


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as the template sees it: its title, and the data of a PNG."""

    title: str
    data: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Class:
    """One of the likeliest classes; ``share``: its probability in per cent, or nothing."""

    label: str
    value: str
    share: float


@dataclass(frozen=True, slots=True)
class ImageCard:
    """Everything the template shows of one explained image."""

    label: str
    score: str
    probability: str
    origin: str
    pictures: list[Shown]
    limit: str
    classes: list[Class]
    bars: list[Bar]
    result: Bar
    checks: list[str]
    closes: bool
    notes: list[str]
    template: str = "image_card.html"


def image_card(data: ImageData, view: str | None) -> ImageCard:
    """The card of an image with the pictures of a view (None: "side")."""
    table = account.table(data)
    found = panels(data, view or "side")
    target = data.target
    limits = [p.limit for p in found if p.limit] if view != "trace" else []
    peak = max(limits, default=0.0)
    return ImageCard(
        label=one_line(target.label),
        score=signed(target.score, decimals_for(target.score, digits=4)),
        probability="" if target.probability is None else percent(target.probability),
        origin=" · ".join(map(one_line, origin(data))),
        pictures=[_shown(panel) for panel in found],
        limit=signed(peak, decimals_for(peak)).lstrip("+") if limits else "",
        classes=[
            Class(
                one_line(one.label),
                signed(one.score, 2) if one.probability is None else percent(one.probability),
                0.0 if one.probability is None else round(100 * one.probability, 2),
            )
            for one in data.top
        ],
        bars=[bar_of(row, table.extent()) for row in table.rows],
        result=bar_of(table.result, table.extent()),
        checks=[one_line(check) for check in table.checks],
        closes=table.closes,
        notes=[one_line(note) for note in data.notes],
    )


def _shown(panel: Panel) -> Shown:
    height, width = panel.pixels.shape[:2]
    data = b64encode(Picture(panel.pixels)._repr_png_()).decode()
    return Shown(one_line(panel.title), data, width, height)
