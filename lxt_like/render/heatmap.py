"""Heat maps of images: raw relevance in, pixels out; one function."""

from __future__ import annotations

import difflib
import io
import math
import os
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError, NumericalError
from .colors import DARK, LIGHT, ColorScale
from .escape import one_line
from .files import suffix_of, write

Array = np.ndarray[Any, np.dtype[Any]]

OWN = {"light": LIGHT, "dark": DARK}
"""The house's diverging colours: neutral at 0, red for, blue against."""

SUFFIXES = (".png", ".pdf", ".svg")
MAX_PIXELS = 50_000_000


@dataclass(frozen=True)
class Picture:
    """Pixels, ready to be saved or shown in a notebook."""

    pixels: Array

    def array(self) -> Array:
        """[height, width, 3] uint8."""
        return self.pixels

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``.png``, ``.pdf`` or ``.svg``, whole or not at all."""
        suffix = suffix_of(path, SUFFIXES)
        write(path, self._repr_png_() if suffix == ".png" else self._vector(suffix))

    def _repr_png_(self) -> bytes:
        from PIL import Image

        out = io.BytesIO()
        Image.fromarray(self.pixels).save(out, "PNG")
        return out.getvalue()

    def _repr_html_(self) -> str:
        data = b64encode(self._repr_png_()).decode()
        return f'<img alt="heat map" src="data:image/png;base64,{data}">'

    def _vector(self, suffix: str) -> bytes:
        from matplotlib import style
        from matplotlib.figure import Figure

        height, width = self.pixels.shape[:2]
        with style.context(["default", {"svg.hashsalt": "lxt_like"}]):
            figure = Figure(figsize=(width / 100, height / 100), dpi=100)
            axes = figure.add_axes((0, 0, 1, 1))
            axes.axis("off")
            axes.imshow(self.pixels, interpolation="none", aspect="auto")
            out = io.BytesIO()
            fixed = {"Date": None} if suffix == ".svg" else {"CreationDate": None}
            figure.savefig(out, format=suffix[1:], metadata=fixed)
        return out.getvalue()


def heatmap(
    relevance: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    image: Any = None,
    cmap: str = "light",
    symmetric: bool = True,
    vmax: float | str | None = None,
    percentile: float = 100.0,
    alpha: float = 0.6,
    scale: int | None = None,
    columns: int | None = None,
    gap: int = 2,
    titles: Sequence[str] | None = None,
) -> Picture:
    """A heat map, or a grid of several; also written to ``path``.

    Args:
        relevance: [H, W], [C, H, W] or [B, C, H, W] (channels are summed), or a list of such maps
            of any sizes; a torch tensor or an array.  A [B, H, W] with B > 4 is a batch of maps.
        path: ``.png``, ``.pdf`` or ``.svg``.
        image: what was explained, drawn in grey beneath: an array [H, W], [H, W, 3] or [3, H, W], a
            PIL image, or a list with one for each map.  It is resized to the map's pixels.
        cmap: "light", "dark", or any colour map of matplotlib.
        symmetric: the scale reaches from -v to +v; False: from the least to the largest value.
        vmax: v; None: each map's largest |R|; "shared": that of all maps; a number.
        percentile: of |R| instead of its maximum, where single pixels outshine the rest.
        alpha: the map's opacity over an image.
        scale: pixels a side for each value; None: as many as make about 256 pixels.
        columns: of a grid; gap: pixels between maps; titles: one for each map.

    A map that is 0 everywhere (or constant, with symmetric=False) is drawn in the neutral colour.

    Raises:
        InputError: for shapes, options or names that do not fit; NumericalError: NaN or infinity.
    """
    maps = [_as_map(m) for m in _split(relevance)]
    if not maps:
        raise InputError("heatmap: no map was given")
    colour = _colours(cmap)
    images = _images(image, len(maps))
    if titles is not None and len(titles) != len(maps):
        raise InputError(f"heatmap: {len(titles)} titles for {len(maps)} maps")
    if not 0 < percentile <= 100 or not 0 <= alpha <= 1:
        raise InputError("heatmap: percentile lies in (0, 100], alpha in [0, 1]")
    if scale is not None and (not isinstance(scale, int) or scale < 1):
        raise InputError(f"heatmap: scale is a whole number of pixels >= 1, got {scale!r}")
    limits = [_limits(m, symmetric, percentile) for m in maps]
    if vmax == "shared":
        limits = [(min(a for a, _ in limits), max(b for _, b in limits))] * len(maps)
    elif isinstance(vmax, (int, float)):
        if not (math.isfinite(vmax) and vmax > 0):
            raise InputError(f"heatmap: vmax must be a positive number, got {vmax}")
        limits = [(-float(vmax) if symmetric else 0.0, float(vmax))] * len(maps)
    elif vmax is not None:
        raise InputError(f'heatmap: vmax is None, "shared" or a number, got {vmax!r}')
    side = max(max(m.shape) for m in maps)
    times = max(1, round(256 / side)) if scale is None else scale
    if sum(m.size for m in maps) * times**2 > MAX_PIXELS:
        raise InputError(f"heatmap: more than {MAX_PIXELS:,} pixels; give a smaller scale")
    tiles = []
    for m, (low, high), picture in zip(maps, limits, images, strict=True):
        tile = colour(_position(m, low, high)).repeat(times, 0).repeat(times, 1)
        tiles.append(tile if picture is None else _over(tile, picture, alpha))
    whole = grid(tiles, columns, gap, titles)
    made = Picture((whole * 255).round().astype(np.uint8))
    if path is not None:
        made.save(path)
    return made


def _numbers(given: Any) -> Array:
    if hasattr(given, "detach"):
        given = given.detach().cpu().float().numpy() if given.is_floating_point() else given.cpu()
    return np.asarray(given, dtype=np.float64)


def _split(relevance: Any) -> list[Array]:
    if isinstance(relevance, (list, tuple)):
        return [m for part in relevance for m in _split(part)]
    values = _numbers(relevance)
    if values.ndim == 4 or (values.ndim == 3 and len(values) > 4):
        return list(values)
    return [values]


def _as_map(values: Array) -> Array:
    if values.ndim == 3:
        values = values.sum(0)
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"heatmap: a map is [H, W] or [C, H, W], got {values.shape}")
    if not np.isfinite(values).all():
        raise NumericalError("heatmap: the relevance holds NaN or infinity")
    return values


def _limits(m: Array, symmetric: bool, percentile: float) -> tuple[float, float]:
    if symmetric:
        top = float(np.percentile(np.abs(m), percentile)) or float(np.abs(m).max())
        return -top, top
    return float(m.min()), float(np.percentile(m, percentile))


def _position(m: Array, low: float, high: float) -> Array:
    """Where each value lies on the scale, 0 to 1; the middle for a map without a range."""
    if not high > low:
        return np.full(m.shape, 0.5)
    # halves first: the range of the largest floats is no float
    return np.clip((m / 2 - low / 2) / (high / 2 - low / 2), 0, 1)


class _Colours:
    """A colour map as 1,024 colours."""

    def __init__(self, table: Array) -> None:
        self.table = table

    def __call__(self, position: Array) -> Array:
        found: Array = self.table[np.round(position * (len(self.table) - 1)).astype(int)]
        return found


def _colours(name: str) -> _Colours:
    steps = np.linspace(-1, 1, 1025)
    if name in OWN:
        scale: ColorScale = OWN[name]
        return _Colours(np.array([scale(float(v)) for v in steps]))
    from matplotlib import colormaps

    if not isinstance(name, str) or name not in colormaps:
        known = [*OWN, *colormaps]
        near = difflib.get_close_matches(str(name), known, 5) or [
            *OWN,
            "bwr",
            "coolwarm",
            "viridis",
        ]
        raise InputError(f"heatmap: unknown colour map {name!r}; near it: {', '.join(near)}")
    return _Colours(np.asarray(colormaps[name]((steps + 1) / 2))[:, :3])


def _images(image: Any, n: int) -> list[Array | None]:
    if image is None:
        return [None] * n
    if isinstance(image, (list, tuple)) or (hasattr(image, "ndim") and image.ndim == 4):
        if len(image) != n:
            raise InputError(f"heatmap: {len(image)} images for {n} maps")
        return [_grey(i) for i in image]
    return [_grey(image)] * n


def _grey(image: Any) -> Array:
    """[H, W] in 0..1, from any layout and range."""
    if hasattr(image, "convert"):
        image = np.asarray(image.convert("RGB"))
    whole = np.asarray(image).dtype == np.uint8 if not hasattr(image, "detach") else False
    values = _numbers(image)
    if values.ndim == 3 and values.shape[0] in (1, 3) and values.shape[-1] not in (1, 3):
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 3 and values.shape[-1] in (1, 3, 4):
        values = values[..., :3].mean(-1)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise InputError(f"heatmap: an image is [H, W], [H, W, 3] or [3, H, W], got {values.shape}")
    if whole:
        return values / 255
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values
    return (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)


def _over(tile: Array, image: Array, alpha: float) -> Array:
    from PIL import Image

    small = Image.fromarray((image * 255).round().astype(np.uint8))
    resized = small.resize((tile.shape[1], tile.shape[0]), Image.Resampling.BILINEAR)
    grey = np.asarray(resized, dtype=np.float64)[..., None] / 255
    return alpha * tile + (1 - alpha) * grey


def grid(tiles: list[Array], columns: int | None, gap: int, titles: Sequence[str] | None) -> Array:
    """Tiles [h, w, 3] of 0..1 on white, ``columns`` across, with their titles above."""
    n = len(tiles)
    across = min(n, columns or math.ceil(math.sqrt(n)))
    if across < 1:
        raise InputError(f"heatmap: columns must be positive, got {columns}")
    height, width = max(t.shape[0] for t in tiles), max(t.shape[1] for t in tiles)
    head = 18 if titles is not None else 0
    down = math.ceil(n / across)
    canvas = np.ones((down * (height + head + gap) - gap, across * (width + gap) - gap, 3))
    for i, tile in enumerate(tiles):
        top = (i // across) * (height + head + gap)
        left = (i % across) * (width + gap)
        canvas[top + head : top + head + tile.shape[0], left : left + tile.shape[1]] = tile
        if titles is not None:
            canvas[top : top + head, left : left + width] = _title(titles[i], width, head)
    return canvas


def _title(text: str, width: int, height: int) -> Array:
    """Black on white, cut to the width."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (width, height), "white")
    font, shown = ImageFont.load_default(12), one_line(str(text))
    while shown and font.getlength(shown) > width - 4:
        shown = shown[:-2].rstrip("…") + "…" if len(shown) > 2 else ""
    ImageDraw.Draw(strip).text((2, 2), shown, fill="black", font=font)
    return np.asarray(strip, dtype=np.float64) / 255
