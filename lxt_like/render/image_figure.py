"""A figure of one explained image: its pictures in a row, the colours, the classes, the account."""

from __future__ import annotations

from collections.abc import Iterator

from ..explanation import ImageData
from . import account
from .drawing import INK, SOFT, Label, Raster, Strip
from .escape import one_line
from .fonts import measure
from .numbers import percent
from .strips import SMALL, account_of, header, legend, small
from .views import Panel, columns, panels

GAP = 10.0
MOST = 250.0
"""A picture is at most this many points wide."""


def image_strips(data: ImageData, width: float, view: str | None) -> Iterator[Strip]:
    """One explained image in ``width`` points; ``view`` None: "side"."""
    table = account.table(data)  # first: it refuses what cannot be shown
    found = panels(data, view or "side")
    yield from header(data, width)
    yield Strip(8)
    across = columns(len(found))
    for start in range(0, len(found), across):
        yield _row(found[start : start + across], width, across)
    limits = [panel.limit for panel in found if panel.limit]
    if view != "trace":  # there every picture has its own scale
        yield legend(max(limits, default=0.0), width)
    else:
        yield from small(
            "relevance at patches | other tokens; full red or blue is each picture's own largest",
            width,
        )
    yield Strip(6)
    if line := classes_line(data):
        yield from small(line, width, INK)
        yield Strip(4)
    yield account_of(table, width)
    yield Strip(2)
    for check in table.checks:
        yield from small(check, width, SOFT if table.closes else "#a3160c")
    for note in data.notes:
        yield from small(f"note: {note}", width, INK)


def classes_line(data: ImageData) -> str:
    """The likeliest classes in one line; empty where there are none."""
    parts = []
    for one in data.top:
        number = f"{one.score:+.3g}" if one.probability is None else percent(one.probability)
        parts.append(f"{one_line(one.label)} {number}")
    return "likeliest  " + " · ".join(parts) if parts else ""


def _row(found: list[Panel], width: float, across: int) -> Strip:
    each = min((width - GAP * (across - 1)) / across, MOST)
    tall = max(each * p.pixels.shape[0] / p.pixels.shape[1] for p in found)
    titled = len(found) > 1 or across > 1
    head = 14.0 if titled else 0.0
    strip = Strip(tall + head + GAP)
    for i, panel in enumerate(found):
        x = i * (each + GAP)
        high = each * panel.pixels.shape[0] / panel.pixels.shape[1]
        strip.rasters.append(Raster(x, head, each, high, panel.pixels))
        if titled:
            strip.labels.append(Label(x, 9.5, _cut(panel.title, each), SMALL, SOFT))
    return strip


def _cut(title: str, room: float) -> str:
    """A title cut at its front, where names of layers are least telling."""
    shown = one_line(title)
    while len(shown) > 1 and measure(shown, SMALL) > room:
        shown = "…" + shown[2:]
    return shown
