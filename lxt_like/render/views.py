"""Pictures of an explained image: which maps each view shows, and in which colours.

Every view goes through :func:`panels`; the figure, the HTML page and the bare picture differ only
in what they put around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError, NumericalError
from ..explanation import ImageData, LayerMap
from .heatmap import Picture, heatmap

Array = np.ndarray[Any, np.dtype[Any]]

VIEWS = {
    "overlay": "relevance of every pixel over the image",
    "side": "the image beside the overlay",
    "patches": "relevance of every patch over the image",
    "pair": "for a contrast: the target, the foil, and their difference",
    "trace": "relevance by place at the model's blocks, from the first to the last",
}
"""The views by name, and what each shows."""

PERCENTILE = 99.5
"""Of the pixels' |R|: a single pixel does not pale the others."""

SIDE = 320
ALPHA = 0.65


@dataclass(frozen=True)
class Panel:
    """One picture of a view: ``title``, and ``pixels`` [h, w, 3] uint8.

    ``limit`` is the |R| of the full colour; 0 for the plain image.
    """

    title: str
    pixels: Array
    limit: float = 0.0


def require_view(view: Any) -> str:
    """``view`` if it is the name of one; InputError with the known ones otherwise."""
    if view not in VIEWS:
        raise InputError(f"unknown view {view!r}; the views are {', '.join(VIEWS)}")
    return str(view)


def panels(data: ImageData, view: str, scale: int | None = None) -> list[Panel]:
    """The maps of a view, from left to right.

    Args:
        scale: pixels a side for each pixel of the image; None: as many as make about 320.

    Raises:
        InputError: no such view, or no data for it. NumericalError: relevance that is not finite.
    """
    require_view(view)
    if not np.isfinite(data.channels).all():
        raise NumericalError(
            "the relevance of this explanation is not finite: look for NaN in the model's weights"
        )
    if view == "trace":
        return _trace(data, scale)
    if view == "pair":
        return _pair(data, scale)
    if view == "patches":
        patches = data.patches
        limit = float(np.abs(patches).max())
        return [_panel(data, "patches", spread(data, patches), limit, scale)]
    relevance = data.relevance
    over = _panel(data, "relevance", relevance, limit_of(relevance), scale)
    if view == "overlay":
        return [over]
    return [Panel("what the model saw", _enlarged(data.pixels, scale)), over]


def view_of(data: ImageData, view: str, scale: int | None = None) -> Picture:
    """A view as one bare picture: its panels in a row, or in rows if there are many."""
    found = panels(data, view, scale)
    named = len(found) > 1
    return Picture(grid_of(found, columns(len(found)), titles=named))


def columns(count: int) -> int:
    """In how many columns panels are laid out: in one row up to four."""
    return count if count <= 4 else min(4, -(-count // 2)) if count <= 8 else 6


def limit_of(values: Array) -> float:
    """The |R| of the full colour: nearly the largest."""
    size = np.abs(values)
    return float(np.percentile(size, PERCENTILE)) or float(size.max())


def spread(data: ImageData, cells: Array) -> Array:
    """A value for each cell, [rows, cols], as one for each pixel, [H, W]."""
    height, width = data.pixels.shape[:2]
    rows, cols = cells.shape
    if (rows, cols) == data.grid:
        down = np.minimum(np.arange(height) // data.cell[0], rows - 1)
        right = np.minimum(np.arange(width) // data.cell[1], cols - 1)
    else:  # a layer's own resolution
        down, right = np.arange(height) * rows // height, np.arange(width) * cols // width
    found: Array = cells[down][:, right]
    return found


def grid_of(found: Sequence[Panel], across: int, titles: bool) -> Array:
    """Panels on white, with their titles above."""
    from .heatmap import grid

    tiles = [panel.pixels.astype(np.float64) / 255 for panel in found]
    made = grid(tiles, across, 8, [p.title for p in found] if titles else None)
    whole: Array = (made * 255).round().astype(np.uint8)
    return whole


def _times(pixels: Array, scale: int | None) -> int:
    if scale is not None:
        if isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
            raise InputError(f"scale is a whole number of pixels >= 1, got {scale!r}")
        return scale
    longest = int(max(pixels.shape[:2]))
    return max(1, round(SIDE / longest))


def _enlarged(pixels: Array, scale: int | None) -> Array:
    times = _times(pixels, scale)
    return pixels.repeat(times, 0).repeat(times, 1)


def _panel(data: ImageData, title: str, values: Array, limit: float, scale: int | None) -> Panel:
    made = heatmap(
        values, image=data.pixels, vmax=limit or None, alpha=ALPHA, scale=_times(data.pixels, scale)
    )
    return Panel(title, made.array(), limit)


def _pair(data: ImageData, scale: int | None) -> list[Panel]:
    if len(data.sides) != 2:
        raise InputError(
            "the view 'pair' needs an explanation of a contrast: "
            'lxt.explain(model, image, target=lxt.Contrast("cat", "dog"))'
        )
    maps = [(f"{s.label} {s.score:+.3g}", s.relevance) for s in data.sides]
    maps.append((f"difference {data.target.score:+.3g}", data.relevance))
    limit = max(limit_of(values) for _, values in maps)  # one scale: they are to be compared
    shown = [_panel(data, title, values, limit, scale) for title, values in maps]
    return [Panel("what the model saw", _enlarged(data.pixels, scale)), *shown]


def _trace(data: ImageData, scale: int | None) -> list[Panel]:
    if not data.layers:
        raise InputError(
            "the view 'trace' needs relevance at the model's blocks: explain with trace=True, of a "
            "model whose blocks keep the image's places"
        )
    maps = [("pixels", data.patches)]
    maps += [(_named(layer), layer.patches) for layer in data.layers]
    shown = []
    for title, values in maps:
        limit = float(np.abs(values).max())
        shown.append(_panel(data, title, spread(data, values), limit, scale))
    return shown


def _named(layer: LayerMap) -> str:
    """The last two parts of a module's path, and its relevance at patches | other tokens."""
    name = ".".join(layer.name.split(".")[-2:])
    beside = f" | {layer.special:+.2g}" if layer.special else ""
    return f"{name} {layer.total - layer.special:+.2g}{beside}"
