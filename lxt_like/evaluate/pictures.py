"""The pictures of a report: curves as SVG, heat maps as small PNGs in data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..render.colors import LIGHT, normalise
from .statistics import Array

WIDTH, HEIGHT, LEFT, BOTTOM = 520, 260, 46, 30
SIDE = 112
"""Edge of a gallery picture in pixels."""

COLORS = 8
"""How many lines have a colour of their own in the style sheet (``c0`` .. ``c7``)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One method in a chart: its curve and band as SVG coordinates, its colour and dash."""

    name: str
    color: int
    dashed: bool
    points: str
    band: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that the template draws: lines, ticks (position, text) of both axes."""

    title: str
    lines: list[Line]
    x: list[tuple[float, str]]
    y: list[tuple[float, str]]
    left: float = LEFT
    top: float = 8.0
    right: float = WIDTH - 8.0
    bottom: float = HEIGHT - BOTTOM


def chart(
    curves: Sequence[Mapping[str, Any]], which: str, title: str, colors: Mapping[str, int]
) -> Chart:
    """The mean curves ``which`` of several methods, as in a summary, with their bands.

    ``colors``: a number for each method; those beyond :data:`COLORS` come again, dashed.
    """
    lows = [min(c[which]["low"]) for c in curves]
    highs = [max(c[which]["high"]) for c in curves]
    low, high = min(lows, default=0.0), max(highs, default=1.0)
    if high <= low:
        high = low + 1.0
    empty = Chart(title, [], [], [])

    def x(share: float) -> float:
        return round(empty.left + share * (empty.right - empty.left), 1)

    def y(value: float) -> float:
        part = (value - low) / (high - low)
        return round(empty.bottom - part * (empty.bottom - empty.top), 1)

    lines = []
    for curve in curves:
        color = colors[curve["method"]]
        there = [f"{x(k)},{y(v)}" for k, v in zip(curve["k"], curve[which]["mean"], strict=True)]
        upper = [f"{x(k)},{y(v)}" for k, v in zip(curve["k"], curve[which]["high"], strict=True)]
        lower = [f"{x(k)},{y(v)}" for k, v in zip(curve["k"], curve[which]["low"], strict=True)]
        lines.append(
            Line(
                curve["method"],
                color % COLORS,
                color >= COLORS,
                " ".join(there),
                " ".join(upper + lower[::-1]),
            )
        )
    shares = [(x(s), f"{s:.0%}") for s in (0, 0.25, 0.5, 0.75, 1)]
    return Chart(title, lines, shares, [(y(v), f"{v:g}") for v in ticks(low, high)])


def ticks(low: float, high: float) -> list[float]:
    """At most six round numbers from ``low`` to ``high``."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [float(f"{i * step:.6g}") for i in range(first, last + 1)]


def heat(values: Array, rows: int, columns: int, thumbnail: bytes | None = None) -> str:
    """A heat map of patches [rows * columns] as a data URI, red for and blue against.

    Divided by the largest absolute value.  Over a picture, that one shows in grey below.
    """
    from PIL import Image

    grid = np.asarray(values, dtype=np.float64).reshape(rows, columns)
    peak = float(np.abs(grid).max(initial=0.0))
    colors = np.array([[LIGHT(normalise(float(v), peak)) for v in row] for row in grid])
    picture = Image.fromarray((255 * colors).round().astype(np.uint8)).resize(
        (SIDE, SIDE), Image.Resampling.NEAREST
    )
    if thumbnail is not None:
        below = _opened(thumbnail).convert("L").convert("RGB")
        picture = Image.blend(below, picture, 0.65)
    return _uri(picture)


def shown(thumbnail: bytes) -> str:
    """A thumbnail at the size of the gallery, as a data URI."""
    return _uri(_opened(thumbnail))


def _opened(thumbnail: bytes) -> Any:
    from PIL import Image

    image = Image.open(io.BytesIO(thumbnail)).convert("RGB")
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def thumbnail(image: Any) -> bytes:
    """A PIL image as PNG bytes of at most :data:`SIDE` pixels a side, never enlarged."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    return _png(small)


def _png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _uri(image: Any) -> str:
    return "data:image/png;base64," + base64.b64encode(_png(image)).decode("ascii")
