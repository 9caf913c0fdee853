"""PNG, PDF and SVG of the coloured text by matplotlib: no browser, no LaTeX, no global state."""

from __future__ import annotations

import io
import math
import os
import unicodedata
from collections.abc import Iterator, Sequence

from ..errors import InputError, RenderError
from ..explanation import TextData
from . import account
from .colors import LIGHT, ink, largest, normalise, to_hex
from .drawing import INK, LINE, MARGIN, SOFT, Box, Label, Strip, height, paint, stack
from .escape import one_line
from .files import suffix_of, write
from .fonts import MISSING, has_missing, measure
from .layout import Span, as_list, chips, origin, spans
from .numbers import decimals_for, percent, signed
from .wrapping import Piece, wrap

FORMATS = (".png", ".pdf", ".svg")
DEFAULT_WIDTH = 7.0
MIN_WIDTH = 2.5
DEFAULT_DPI = 200.0
MIN_DPI = 72.0
MAX_SIDE = 32_000
MAX_PIXELS = 50_000_000
"""A picture of more pixels would take more memory than a reader expects (4 bytes each)."""

TEXT, SMALL, FACTS, TITLE = 12.0, 8.0, 9.5, 16.0
"""Font sizes in points."""

LEADING = 21.0
MAX_CHIPS = 24


def save_figure(
    data: TextData | Sequence[TextData],
    path: str | os.PathLike[str],
    dpi: float | None = None,
    width: float = DEFAULT_WIDTH,
) -> None:
    """Write one explanation or several, one below the other, as ``.png``, ``.pdf`` or ``.svg``.

    ``width`` is in inches, at least 2.5; the height follows from the text.  A long text becomes
    several pages in a PDF.  ``dpi`` is for PNG: None means 200, or fewer where the picture
    would be too large; RenderError if it is too large even so, or at the dpi asked for.
    """
    suffix = suffix_of(path, FORMATS)
    write(path, figure_bytes(data, suffix, dpi=dpi, width=width))


def figure_bytes(
    data: TextData | Sequence[TextData],
    suffix: str,
    dpi: float | None = None,
    width: float = DEFAULT_WIDTH,
) -> bytes:
    """The file that :func:`save_figure` writes; the same input gives the same bytes."""
    items = as_list(data)
    if suffix not in FORMATS:
        raise InputError(f"a figure is one of {', '.join(FORMATS)}, got {suffix!r}")
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
        cards = [list(_strips(item, room)) for item in items]
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


def _strips(data: TextData, width: float) -> Iterator[Strip]:
    table = account.table(data)  # first: it refuses what cannot be shown
    yield from _header(data, width)
    yield Strip(8)
    peak = largest(data)
    for segment, raw in enumerate(data.texts):
        if segment:
            yield Strip(9, boxes=[Box(0, 4, width, 0.5, LINE)])
        if not raw:
            yield from _small("(empty text)", width)
            continue
        for line in wrap(spans(data, segment), width, _text_width):
            yield _line(data, line, width, peak)
    yield Strip(8)
    yield from _chips(data, width, peak)
    yield _legend(peak, width)
    yield Strip(8)
    yield _account(table, width)
    yield Strip(2)
    for check in table.checks:
        yield from _small(check, width, SOFT if table.closes else "#a3160c")
    if any(has_missing(one_line(text)) for text in data.texts):
        yield from _small(f"{MISSING} stands for a character that no font here can show", width)
    for note in data.notes:
        yield from _small(f"note: {note}", width, INK)


def _text_width(text: str) -> float:
    return measure(text, TEXT)


def _header(data: TextData, width: float) -> Iterator[Strip]:
    target = data.target
    facts = f"score {signed(target.score, decimals_for(target.score, digits=4))}"
    if target.probability is not None:
        facts += f"     probability {percent(target.probability)}"
    title = wrap([Span(one_line(target.label))], width, lambda text: measure(text, TITLE, True))
    strips = []
    end = 0.0
    for line in title:
        text = "".join(piece.text for piece in line)
        end = measure(text, TITLE, True)
        strips.append(Strip(21, labels=[Label(0, 15, text, TITLE, INK, bold=True)]))
    if end + 16 + measure(facts, FACTS) <= width:
        strips[-1].labels.append(Label(end + 16, 15, facts, FACTS, SOFT))
        yield from strips
    else:
        yield from strips
        yield from _wrapped(facts, width, FACTS, SOFT)
    if source := " · ".join(origin(data)):
        yield from _small(source, width)


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
        items.append((_shortened(one_line(chip.text), width / 3) + many, chip.relevance))
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


def _legend(peak: float, width: float) -> Strip:
    limit = signed(peak, decimals_for(peak)).lstrip("+")
    left, right = (
        (f"against -{limit}", f"+{limit} for") if width > 220 else (f"-{limit}", f"+{limit}")
    )
    start = measure(left, SMALL) + 6
    ramp = max(min(120.0, width - start - measure(right, SMALL) - 6), 10.0)
    steps = 60
    strip = Strip(14)
    for step in range(steps):  # each reaches to the end: no seams between them
        offset = ramp * step / steps
        color = to_hex(LIGHT(2 * step / (steps - 1) - 1))
        strip.boxes.append(Box(start + offset, 2, ramp - offset, 7, color))
    strip.boxes.append(Box(start, 2, ramp, 7, "", edge=LINE))
    strip.labels = [
        Label(0, 8.4, left, SMALL, SOFT),
        Label(start + ramp + 6, 8.4, right, SMALL, SOFT),
    ]
    return strip


def _account(table: account.Table, width: float) -> Strip:
    """The account with its bars; one strip, so that a page break does not cut the sum."""
    step = 13.5
    rows = [*table.rows, table.result]
    names = [_shortened(one_line(row.label), width / 3) for row in rows]
    column = max(measure(name, FACTS, True) for name in names) + 10
    numbers = max(measure(row.shown, FACTS, True) for row in rows)
    start = column + numbers + 14
    room = width - start
    low, high = table.extent()
    strip = Strip(step * len(rows) + 6)
    for index, (row, name) in enumerate(zip(rows, names, strict=True)):
        last = row is table.result
        top = step * index + (4 if last else 0)
        if last:
            strip.boxes.append(Box(0, top - 1, width, 0.6, SOFT))
        strip.labels += [
            Label(0, top + 10, name, FACTS, INK, bold=last),
            Label(column + numbers, top + 10, row.shown, FACTS, INK, bold=last, right=True),
        ]
        if room > 30 and high > low and row.value:
            size = max(abs(row.value) / (high - low) * room, 1.0)
            left = (min(row.start, row.start + row.value) - low) / (high - low) * room
            color = to_hex(LIGHT(math.copysign(1.0, row.value)))
            strip.boxes.append(
                Box(start + min(left, room - size), top + 3.5, size, 6.5, color, 1.5)
            )
    return strip


def _small(text: str, width: float, color: str = SOFT) -> Iterator[Strip]:
    return _wrapped(text, width, SMALL, color)


def _wrapped(text: str, width: float, size: float, color: str) -> Iterator[Strip]:
    for line in wrap([Span(one_line(text))], width, lambda part: measure(part, size)):
        shown = "".join(piece.text for piece in line)
        yield Strip(size * 1.45, labels=[Label(0, size * 1.05, shown, size, color)])


def _shortened(text: str, room: float) -> str:
    if measure(text, FACTS, True) <= room:
        return text
    while text and measure(text + "…", FACTS, True) > room:
        text = text[: len(text) * 9 // 10]
    return text + "…"
