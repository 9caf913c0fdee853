"""PNG, PDF and SVG of the coloured text by matplotlib: no browser, no LaTeX, no global state."""

from __future__ import annotations

import io
import math
import os
import unicodedata
from collections.abc import Iterator, Sequence

from ..errors import InputError, RenderError
from ..explanation import Explained, GenerationData, TextData
from . import account
from .colors import LIGHT, ink, largest, normalise, to_hex
from .drawing import INK, LINE, MARGIN, SOFT, Box, Label, Strip, height, paint, stack
from .escape import one_line
from .files import suffix_of, write
from .fonts import MISSING, has_missing, measure
from .generation_figure import inches, matrix_strips
from .image_figure import image_strips
from .layout import as_list, chips, spans
from .numbers import decimals_for, signed
from .strips import SMALL, TEXT, account_of, header, legend, shortened, small
from .wrapping import Piece, wrap

FORMATS = (".png", ".pdf", ".svg")
DEFAULT_WIDTH = 7.0
MIN_WIDTH = 2.5
DEFAULT_DPI = 200.0
MIN_DPI = 72.0
MAX_SIDE = 32_000
MAX_PIXELS = 50_000_000
"""A picture of more pixels would take more memory than a reader expects (4 bytes each)."""

LEADING = 21.0
MAX_CHIPS = 24


def save_figure(
    data: Explained | Sequence[Explained],
    path: str | os.PathLike[str],
    dpi: float | None = None,
    width: float | None = None,
    view: str | None = None,
) -> None:
    """Write one explanation or several, one below the other, as ``.png``, ``.pdf`` or ``.svg``.

    ``width`` is in inches, at least 2.5; None: 7, or as many as the matrix of a generated text
    needs.  The height follows from the text.  A long text becomes
    several pages in a PDF.  ``dpi`` is for PNG: None means 200, or fewer where the picture
    would be too large; RenderError if it is too large even so, or at the dpi asked for.
    ``view``: which picture of an image, see :mod:`.views`.
    """
    suffix = suffix_of(path, FORMATS)
    write(path, figure_bytes(data, suffix, dpi=dpi, width=width, view=view))


def figure_bytes(
    data: Explained | Sequence[Explained],
    suffix: str,
    dpi: float | None = None,
    width: float | None = None,
    view: str | None = None,
) -> bytes:
    """The file that :func:`save_figure` writes; the same input gives the same bytes."""
    items = as_list(data)
    if suffix not in FORMATS:
        raise InputError(f"a figure is one of {', '.join(FORMATS)}, got {suffix!r}")
    if width is None:
        matrices = [inches(item) for item in items if isinstance(item, GenerationData)]
        width = max(DEFAULT_WIDTH, *matrices, DEFAULT_WIDTH)
    if not math.isfinite(width) or not MIN_WIDTH <= width <= 100.0:
        raise InputError(f"width must be {MIN_WIDTH} to 100 inches, got {width}")
    if dpi is not None and not (math.isfinite(dpi) and 10 <= dpi <= 2400):
        raise InputError(f"dpi must be 10 to 2400, got {dpi}")
    from matplotlib import style

    # the user's style (usetex, another size, tight boxes) must not reach our layout
    ours = {
        "text.hinting": "none",
        "text.parse_math": False,
        "svg.hashsalt": "lxt_like",
        "svg.fonttype": "path",
        "pdf.fonttype": 42,
    }
    with style.context(["default", ours]):
        points = 72.0 * width
        room = points - 2 * MARGIN
        cards = [list(_strips_of(item, room, view)) for item in items]
        out = io.BytesIO()
        if suffix == ".pdf":
            _pdf(cards, points, out)
        else:
            [strips] = stack(cards, room, math.inf)
            page = height(strips)
            dots = _dpi(points, page, dpi) if suffix == ".png" else DEFAULT_DPI
            figure = paint(strips, points, page, dots)
            metadata = {"Software": "lxt_like"} if suffix == ".png" else {"Date": None}
            figure.savefig(out, format=suffix[1:], dpi=dots, metadata=metadata)
    return out.getvalue()


def _pdf(cards: Sequence[Sequence[Strip]], width: float, out: io.BytesIO) -> None:
    from matplotlib.backends.backend_pdf import PdfPages

    limit = math.sqrt(2.0) * width  # as tall as an A4 sheet of this width
    with PdfPages(out, metadata={"CreationDate": None, "Creator": "lxt_like"}) as pages:
        for page in stack(cards, width - 2 * MARGIN, limit - 2 * MARGIN):
            pages.savefig(paint(page, width, height(page), 72.0))


def _dpi(width: float, page: float, asked: float | None) -> float:
    """The dpi to draw at: what was asked for, or as much as the largest picture allows."""
    wide, high = width / 72, page / 72
    most = min(MAX_SIDE / max(wide, high), math.sqrt(MAX_PIXELS / (wide * high)))
    dpi = min(DEFAULT_DPI, most) if asked is None else asked
    if dpi > most or dpi < min(MIN_DPI, asked or MIN_DPI):
        raise RenderError(
            f"a PNG of {wide:.1f} x {high:.1f} inches is too large at {asked or MIN_DPI:.0f} dpi; "
            "save it as .pdf (several pages), .svg or .html, or ask for fewer dpi"
        )
    return dpi


# -- one explanation ------------------------------------------------------------------------


def _strips_of(data: Explained, width: float, view: str | None) -> Iterator[Strip]:
    if isinstance(data, TextData):
        return _strips(data, width)
    if isinstance(data, GenerationData):
        return _strips(data.total, width, [*matrix_strips(data, width), Strip(8)])
    return image_strips(data, width, view)


def _strips(data: TextData, width: float, between: Sequence[Strip] = ()) -> Iterator[Strip]:
    """An explained text; ``between``: what stands before its account."""
    table = account.table(data)  # first: it refuses what cannot be shown
    yield from header(data, width)
    yield Strip(8)
    peak = largest(data)
    for segment, raw in enumerate(data.texts):
        if segment:
            yield Strip(9, boxes=[Box(0, 4, width, 0.5, LINE)])
        if not raw:
            yield from small("(empty text)", width)
            continue
        for line in wrap(spans(data, segment), width, _text_width):
            yield _line(data, line, width, peak)
    yield Strip(8)
    yield from _chips(data, width, peak)
    yield legend(peak, width)
    yield Strip(8)
    yield from between
    yield account_of(table, width)
    yield Strip(2)
    for check in table.checks:
        yield from small(check, width, SOFT if table.closes else "#a3160c")
    if any(has_missing(one_line(text)) for text in data.texts):
        yield from small(f"{MISSING} stands for a character that no font here can show", width)
    for note in data.notes:
        yield from small(f"note: {note}", width, INK)


def _text_width(text: str) -> float:
    return measure(text, TEXT)


def _line(data: TextData, line: list[Piece], width: float, peak: float) -> Strip:
    """One line of the text: a box behind each word, as far as the neighbours leave room."""
    strip = Strip(LEADING)
    mirrored = _is_rtl("".join(piece.text for piece in line))
    x = 0.0
    for index, piece in enumerate(line):
        left = width - x - piece.width if mirrored else x
        color = INK
        if piece.word is not None and not piece.text.isspace():
            value = normalise(data.words[piece.word].relevance, peak)
            background = LIGHT(value)
            color = to_hex(ink(background)) if abs(value) > 0.3 else INK
            before = 0.0 if index and line[index - 1].word is not None else 1.6
            after = 0.0 if index + 1 < len(line) and line[index + 1].word is not None else 1.6
            if mirrored:
                before, after = after, before
            if abs(value) >= 0.01:
                strip.boxes.append(
                    Box(left - before, 2.2, piece.width + before + after, 16.6,
                        to_hex(background), radius=3)
                )  # fmt: skip
        strip.labels.append(Label(left, 14.5, piece.text, TEXT, color))
        x += piece.width
    return strip


def _is_rtl(text: str) -> bool:
    """Whether the first letter with a direction is right-to-left (Hebrew, Arabic)."""
    kinds = (unicodedata.bidirectional(char) for char in text)
    return next((kind != "L" for kind in kinds if kind in ("L", "R", "AL")), False)


def _chips(data: TextData, width: float, peak: float) -> Iterator[Strip]:
    decimals = decimals_for(peak)
    groups = sorted(chips(data), key=lambda chip: abs(chip.relevance), reverse=True)
    items = []
    for chip in groups[:MAX_CHIPS]:
        many = f" ×{chip.count}" if chip.count > 1 else ""
        items.append((shortened(one_line(chip.text), width / 3) + many, chip.relevance))
    if rest := groups[MAX_CHIPS:]:
        items.append((f"{len(rest)} others", sum(chip.relevance for chip in rest)))
    strip = Strip(18)
    x = 0.0
    for text, relevance in items:
        number = signed(relevance, decimals)
        first, second = measure(text, SMALL), measure(number, SMALL)
        size = first + second + 19
        if x and x + size > width:
            yield strip
            strip, x = Strip(18), 0.0
        background = LIGHT(normalise(relevance, peak))
        strip.boxes += [
            Box(x, 1, size, 13.5, to_hex(background), 6.7, edge=LINE),
            Box(x, 1, first + 9, 13.5, "#ffffff", 6.7, edge=LINE),
        ]
        strip.labels += [
            Label(x + 5, 10.6, text, SMALL, INK),
            Label(x + first + 12.5, 10.6, number, SMALL, to_hex(ink(background))),
        ]
        x += size + 6
    if items:
        yield strip
        yield Strip(4)
