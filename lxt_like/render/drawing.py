"""What a figure is drawn from: strips of text and boxes, stacked on pages.

All lengths are in points (1/72 inch); x from the left edge of the content, y downwards from
the top of the strip.  Nothing here touches matplotlib's global state or its backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .fonts import measure, printable, properties

INK = "#1c2024"
SOFT = "#5b636d"
LINE = "#d5dae0"
MARGIN = 20.0


@dataclass(frozen=True, slots=True)
class Label:
    """A text on one line; (x, y) is the start of its baseline, or its end if ``right``.

    ``upwards``: turned, so that it reads from bottom to top.
    """

    x: float
    y: float
    text: str
    size: float
    color: str = INK
    bold: bool = False
    right: bool = False
    upwards: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle from its top left corner; ``radius`` rounds it, ``edge`` outlines it.

    ``above``: over the rasters, not behind them.
    """

    x: float
    y: float
    width: float
    height: float
    color: str
    radius: float = 0.0
    edge: str = ""
    above: bool = False


@dataclass(frozen=True, slots=True)
class Raster:
    """Pixels [h, w, 3] uint8 in a rectangle from its top left corner, each pixel sharp."""

    x: float
    y: float
    width: float
    height: float
    pixels: Any


@dataclass(slots=True)
class Strip:
    """What stays together on one page: boxes, then labels on top, in a given height."""

    height: float
    boxes: list[Box] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    rasters: list[Raster] = field(default_factory=list)


def stack(cards: Sequence[Sequence[Strip]], width: float, limit: float) -> list[list[Strip]]:
    """Cards, with a line between them, on pages of at most ``limit`` points of content.

    A card that fits on one page is not cut; a longer one is cut between its strips.
    """
    pages: list[list[Strip]] = [[]]
    used = 0.0
    for card in cards:
        separator = Strip(32, boxes=[Box(0, 16, width, 0.6, LINE)])
        size = sum(strip.height for strip in card)
        if pages[-1] and used + separator.height + size > limit:
            pages.append([])
            used = 0.0
        for strip in [separator, *card] if pages[-1] else card:
            if pages[-1] and used + strip.height > limit:
                pages.append([])
                used = 0.0
            pages[-1].append(strip)
            used += strip.height
    return pages


def height(strips: Iterable[Strip]) -> float:
    """The height of a page with these strips, margins included."""
    return sum(strip.height for strip in strips) + 2 * MARGIN


def paint(strips: Sequence[Strip], width: float, page_height: float, dpi: float) -> Any:
    """A matplotlib Figure of ``width`` x ``page_height`` points with the strips on it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import Affine2D

    figure = Figure(figsize=(width / 72, page_height / 72), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    points = Affine2D().scale(1 / 72) + figure.dpi_scale_trans
    top = page_height - MARGIN
    for strip in strips:
        for box in strip.boxes:
            figure.add_artist(_patch(box, top, points))
        for raster in strip.rasters:
            _place(figure, raster, top, width, page_height)
        for label in strip.labels:
            _write(figure, label, top, points)
        top -= strip.height
    return figure


def _patch(box: Box, top: float, points: Any) -> Any:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    corner = (MARGIN + box.x, top - box.y - box.height)
    style = {
        "facecolor": box.color or "none",
        "edgecolor": box.edge or "none",
        "linewidth": 0.6 if box.edge else 0.0,
        "zorder": 5 if box.above else 1,
        "transform": points,
    }
    radius = min(box.radius, box.width / 2, box.height / 2)
    if radius <= 0:
        return Rectangle(corner, box.width, box.height, **style)
    shape = f"round,pad=0,rounding_size={radius:.3f}"
    return FancyBboxPatch(corner, box.width, box.height, boxstyle=shape, **style)


def _place(figure: Any, raster: Raster, top: float, width: float, page_height: float) -> None:
    left, bottom = MARGIN + raster.x, top - raster.y - raster.height
    box = (left / width, bottom / page_height, raster.width / width, raster.height / page_height)
    axes = figure.add_axes(box)
    axes.axis("off")
    axes.imshow(raster.pixels, interpolation="none", aspect="auto")


def _write(figure: Any, label: Label, top: float, points: Any) -> None:
    shown = printable(label.text, label.bold)
    if not shown.strip():
        return
    x = MARGIN + label.x
    if label.right:
        x -= measure(label.text, label.size, label.bold)
    figure.text(
        x,
        top - label.y,
        shown,
        fontproperties=properties(label.size, label.bold),
        color=label.color,
        horizontalalignment="left",
        verticalalignment="baseline",
        rotation=90 if label.upwards else 0,
        rotation_mode="anchor",
        transform=points,
        parse_math=False,
    )
