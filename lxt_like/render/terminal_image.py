"""An explained image in a terminal: two small pictures of half blocks, or signs without colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..explanation import Array, ImageData
from .colors import ColorScale, normalise, to_hex
from .escape import one_line
from .numbers import decimals_for, percent, signed
from .views import limit_of, spread

if TYPE_CHECKING:
    from rich.text import Text

COLUMNS = 32
"""How wide each picture is at most, in columns; a column is one pixel wide, half a line high."""

ROWS = 24
"""How many rows of signs there are at most."""

STRONGEST = 5
_TIE = "\u00a0"


class Page(Protocol):
    """What is needed of a page of the terminal."""

    width: int
    indent: str
    scale: ColorScale
    color_system: Any

    def wrapped(self, parts: Iterable[tuple[str, str]], hang: int = 0) -> Iterator[Text]: ...

    def style(self, value: float) -> str: ...


def image_lines(page: Page, data: ImageData) -> Iterator[Text]:
    """The pictures, the strongest patches and the likeliest classes."""
    from rich.text import Text

    if page.color_system in ("truecolor", "256"):
        yield from _blocks(page, data)
    else:
        yield from _signs(page, data)
    yield Text()
    patches = data.patches
    peak = float(np.abs(patches).max())
    decimals = decimals_for(peak)
    order = np.argsort(-np.abs(patches), axis=None, kind="stable")[:STRONGEST]
    parts = [("strongest patches", "dim"), ("  ", "")]
    for n, at in enumerate(order):
        row, col = divmod(int(at), data.grid[1])
        value = float(patches[row, col])
        parts.append((f"{_TIE}· " if n else "", "dim"))
        parts.append((f"row {row + 1} column {col + 1} ".replace(" ", _TIE), ""))
        parts.append((signed(value, decimals), page.style(normalise(value, peak))))
    yield from page.wrapped(parts, hang=2)
    if not data.top:
        return
    parts = [("likeliest classes", "dim"), ("  ", "")]
    for n, one in enumerate(data.top):
        number = signed(one.score, 2) if one.probability is None else percent(one.probability)
        parts.append((f"{_TIE}· " if n else "", "dim"))
        parts.append((f"{one_line(one.label)} {number}".replace(" ", _TIE), ""))
    yield from page.wrapped(parts, hang=2)


def _blocks(page: Page, data: ImageData) -> Iterator[Text]:
    """The image and its map side by side, two pixels to a character."""
    from rich.text import Text

    height, width = data.pixels.shape[:2]
    columns = min(COLUMNS, (page.width - len(page.indent) - 2) // 2)
    lines = max(1, round(columns * height / width / 2))
    photo = _resized(data.pixels, (columns, 2 * lines))
    values = spread(data, data.patches)
    limit = limit_of(values)
    down, right = (
        np.arange(2 * lines) * height // (2 * lines),
        np.arange(columns) * width // columns,
    )
    small = values[down][:, right]
    for line in range(lines):
        text = Text(page.indent)
        for x in range(columns):
            top, bottom = (_hex(photo[2 * line + k, x]) for k in (0, 1))
            text.append("▀", f"{top} on {bottom}")
        text.append("  ")
        for x in range(columns):
            shares = (normalise(float(small[2 * line + k, x]), limit) for k in (0, 1))
            top, bottom = (to_hex(page.scale(share)) for share in shares)
            text.append("▀", f"{top} on {bottom}")
        yield text


def _signs(page: Page, data: ImageData) -> Iterator[Text]:
    """One sign for each patch: ``#`` and ``+`` for, ``=`` and ``-`` against, ``.`` neither."""
    from rich.text import Text

    cells = _coarser(data.patches, min(ROWS, (page.width - len(page.indent)) // 2))
    limit = float(np.abs(cells).max())
    for row in cells:
        signs = [_sign(normalise(float(value), limit)) for value in row]
        yield Text(page.indent + " ".join(signs))
    yield from page.wrapped([("# + for, = - against, . neither", "dim")])


def _sign(value: float) -> str:
    if abs(value) < 0.1:
        return "."
    strong = abs(value) >= 0.5
    return ("#" if strong else "+") if value > 0 else ("=" if strong else "-")


def _coarser(cells: Array, most: int) -> Array:
    """Neighbouring cells summed until there are at most ``most`` rows and columns."""
    step = -(-max(cells.shape) // max(most, 1))
    if step <= 1:
        return cells
    by_row = np.add.reduceat(cells, np.arange(0, cells.shape[0], step), axis=0)
    summed: Array = np.add.reduceat(by_row, np.arange(0, cells.shape[1], step), axis=1)
    return summed


def _resized(pixels: Array, size: tuple[int, int]) -> Array:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def _hex(color: Array) -> str:
    return "#" + "".join(f"{int(c):02x}" for c in color)
