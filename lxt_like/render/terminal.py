"""Coloured words for a terminal; informative, too, without colours and in narrow windows."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import InputError
from ..explanation import Explained, GenerationData, TextData
from . import account
from .colors import ANY, DARK, LIGHT, ColorScale, ink, largest, normalise, to_hex
from .escape import one_line, visible
from .layout import Span, as_list, chips, origin, spans, strongest
from .numbers import decimals_for, percent, signed
from .terminal_generation import step_lines
from .terminal_image import image_lines
from .wrapping import wrap

if TYPE_CHECKING:
    from rich.text import Text

MIN_WIDTH = 20
MAX_DEFAULT_WIDTH = 100
"""Longer lines are hard to read; a ``width`` asked for may be larger."""

STRONGEST = {True: 6, False: 12}
"""How many words are listed with their numbers: more where colours cannot speak."""

MAX_CHIPS = 12
FAINT = 0.06
"""Below this share of the largest relevance a word keeps the terminal's own colours."""

WEAK = 0.2
"""On an unknown background a weaker word is coloured as text: a grey box would be too loud."""

_TIE = "\u00a0"
"""Holds a name and its number on one line; printed as a plain space."""


def wants_color() -> bool:
    """Whether output to this terminal should be coloured.

    NO_COLOR (no-color.org) wins over FORCE_COLOR (force-color.org); otherwise colour is for
    terminals that are not dumb.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return is_terminal and os.environ.get("TERM") != "dumb"


def to_terminal(
    data: Explained | Sequence[Explained], width: int | None = None, color: bool | None = None
) -> str:
    """One explanation or several as text for a terminal, ending in a newline.

    ``width`` is in columns, at least 20; None asks the terminal (at most 100).  ``color`` None
    asks NO_COLOR, FORCE_COLOR and the terminal; without colour there is no escape sequence in
    the output.  Nothing in the explained text can act on the terminal: control characters,
    escape sequences and bidirectional overrides come out in visible notation.
    """
    items = as_list(data)
    page = _page(width, color)
    blocks = [page.render(page.lines(item)) for item in items]
    return separator(width, color).join(blocks)


def separator(width: int | None = None, color: bool | None = None) -> str:
    """What stands between two explanations, for printing them one by one; as to_terminal."""
    return "\n" + _page(width, color).rule() + "\n"


def _page(width: int | None, color: bool | None) -> _Page:
    if width is None:
        columns = shutil.get_terminal_size().columns
        width = min(max(columns, MIN_WIDTH), MAX_DEFAULT_WIDTH)
    elif isinstance(width, bool) or not isinstance(width, int) or width < MIN_WIDTH:
        raise InputError(f"width must be a whole number of at least {MIN_WIDTH}, got {width!r}")
    return _Page(width, wants_color() if color is None else color)


def _scale() -> ColorScale:
    """The scale for the terminal's background, where the terminal tells (COLORFGBG)."""
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    if not background.isdecimal():
        return ANY
    return LIGHT if int(background) in (7, 15) else DARK


class _Page:
    """Builds the lines of explanations at one width, in one colour mode."""

    def __init__(self, width: int, color: bool) -> None:
        from rich.console import Console

        self.width = width
        self.indent = " " if width >= 40 else ""
        self.scale = _scale()
        # "auto" reads COLORTERM and TERM; a dumb terminal that was forced gets 16 colours
        for system in ("auto", "standard") if color else (None,):
            self.console = Console(
                width=width,
                color_system=system,
                force_terminal=color,
                no_color=not color,
                force_jupyter=False,
                legacy_windows=False,
                highlight=False,
                markup=False,
                emoji=False,
            )
            if self.console.color_system is not None:
                break
        self.color_system = self.console.color_system

    # -- pieces -------------------------------------------------------------------------

    def style(self, value: float) -> str:
        """The rich style of a normalised relevance."""
        if self.color_system is None or abs(value) < FAINT:
            return ""
        if self.color_system in ("standard", "windows"):  # 16 colours: no shades to choose
            if abs(value) < 0.3:
                return "red" if value > 0 else "blue"
            return "bold white on red" if value > 0 else "bold white on blue"
        if self.scale is ANY and abs(value) < WEAK:
            return to_hex(self.scale(math.copysign(0.7, value)))
        background = self.scale(value)
        return f"{to_hex(ink(background))} on {to_hex(background)}"

    def wrapped(self, parts: Iterable[tuple[str, str]], hang: int = 0) -> Iterator[Text]:
        """Styled parts as lines; from the second line on indented by ``hang`` more columns."""
        from rich.cells import cell_len
        from rich.text import Text

        styles: list[str] = []
        pieces: list[Span] = []
        for part, style in parts:
            pieces.append(Span(part, len(styles)))
            styles.append(style)
        room = self.width - len(self.indent) - hang
        for number, line in enumerate(wrap(pieces, room, cell_len)):
            text = Text(self.indent + (" " * hang if number else ""))
            for piece in line:
                shown = piece.text.replace(_TIE, " ")
                text.append(shown, styles[piece.word] if piece.word is not None else "")
            yield text

    def lines(self, data: Explained) -> Iterator[Text]:
        """One explanation: header, text or image, strongest words, steps, account, notes."""
        from rich.text import Text

        table = account.table(data)  # first: it refuses what cannot be shown
        yield from self.header(data)
        yield Text()
        if isinstance(data, TextData | GenerationData):
            text = data if isinstance(data, TextData) else data.total
            yield from self.text(text)
            yield Text()
            yield from self.details(text)
        else:
            yield from image_lines(self, data)
        if isinstance(data, GenerationData):
            yield Text()
            yield from step_lines(self, data)
        yield Text()
        yield from self.account(table)
        for note in data.notes:
            yield from self.wrapped([("note: ", "bold"), (one_line(note), "")], hang=6)

    def header(self, data: Explained) -> Iterator[Text]:
        target = data.target
        decimals = decimals_for(target.score, digits=4)
        parts = [
            (one_line(target.label), "bold reverse" if self.color_system else ""),
            ("   ", ""),
            (f"score{_TIE}", "dim"),
            (signed(target.score, decimals), "bold"),
        ]
        if target.probability is not None:
            parts += [("   ", ""), (f"probability{_TIE}", "dim")]
            parts += [(percent(target.probability).replace(" ", _TIE), "bold")]
        yield from self.wrapped(parts)
        if source := " · ".join(map(one_line, origin(data))):
            yield from self.wrapped([(source, "dim")])

    def text(self, data: TextData) -> Iterator[Text]:
        peak = largest(data)
        for segment, raw in enumerate(data.texts):
            if not raw or visible(raw).isspace():  # \x85 is space, but shown
                said = "(white space only)" if raw else "(empty text)"
                yield from self.wrapped([(said, "dim")])
                continue
            parts = []
            for span in spans(data, segment):
                relevance = 0.0 if span.word is None else data.words[span.word].relevance
                parts.append((span.text, self.style(normalise(relevance, peak))))
            yield from self.wrapped(parts)

    def details(self, data: TextData) -> Iterator[Text]:
        peak = largest(data)
        decimals = decimals_for(peak)
        items = []
        for word in strongest(data, STRONGEST[self.color_system is not None]):
            items.append((word.text, word.relevance))
        yield from self.listing("strongest words", items, peak, decimals)
        groups = sorted(chips(data), key=lambda chip: abs(chip.relevance), reverse=True)
        items = []
        for chip in groups[:MAX_CHIPS]:
            many = f" ×{chip.count}" if chip.count > 1 else ""
            items.append((chip.text + many, chip.relevance))
        rest = groups[MAX_CHIPS:]
        if rest:
            items.append((f"{len(rest)} others", sum(chip.relevance for chip in rest)))
        yield from self.listing("special tokens", items, peak, decimals)

    def listing(
        self, title: str, items: list[tuple[str, float]], peak: float, decimals: int | None
    ) -> Iterator[Text]:
        if not items:
            return
        parts = [(title, "dim"), ("  ", "")]
        for index, (label, relevance) in enumerate(items):
            if index:
                parts.append((f"{_TIE}· ", "dim"))
            parts.append((one_line(label), self.style(normalise(relevance, peak))))
            parts.append((f"{_TIE}{signed(relevance, decimals)}", ""))
        yield from self.wrapped(parts, hang=2)

    def account(self, table: account.Table) -> Iterator[Text]:
        from rich.cells import cell_len, set_cell_size
        from rich.text import Text

        rows = [*table.rows, table.result]
        numbers = max(len(row.shown) for row in rows)
        labels = max(cell_len(one_line(row.label)) for row in rows)
        labels = max(min(labels, self.width - len(self.indent) - numbers - 2), 1)
        room = min(self.width - len(self.indent) - labels - numbers - 5, 40)
        for row in rows:
            last = row is table.result
            if last:
                yield Text(self.indent + "─" * (labels + 2 + numbers), "dim")
            label = one_line(row.label)
            if cell_len(label) > labels:
                label = set_cell_size(label, labels - 1) + "…"
            line = Text(self.indent)
            line.append(set_cell_size(label, labels), "bold" if last else "")
            line.append("  " + row.shown.rjust(numbers), "bold" if last else "")
            if room >= 10:
                sign = normalise(row.value, abs(row.value))
                line.append("   ")
                line.append(_bar(row, table.extent(), room), self.bar_style(sign))
            line.rstrip()
            yield line
        for check in table.checks:
            yield from self.wrapped([(one_line(check), "dim" if table.closes else "bold")])

    def bar_style(self, sign: float) -> str:
        if self.color_system is None or sign == 0.0:
            return ""
        if self.color_system in ("standard", "windows"):
            return "red" if sign > 0 else "blue"
        return to_hex(self.scale(sign))

    # -- output -------------------------------------------------------------------------

    def rule(self) -> str:
        from rich.text import Text

        return self.render([Text("─" * self.width, "dim")])

    def render(self, lines: Iterable[Text]) -> str:
        """Lines as a string; escape sequences only with colour, and only ours."""
        if self.color_system is None:
            return "".join(line.plain.rstrip() + "\n" for line in lines)
        with self.console.capture() as capture:
            for line in lines:
                self.console.print(line, no_wrap=True, overflow="ignore", crop=False)
        return capture.get()


def _bar(row: account.Row, extent: tuple[float, float], room: int) -> str:
    """From ``row.start`` to its end in half columns: the steps of a staircase to the score."""
    low, high = extent
    if high <= low or row.value == 0.0:
        return ""
    ends = sorted((row.start, row.start + row.value))
    first, last = (round((end - low) / (high - low) * 2 * room) for end in ends)
    if first == last:
        first = min(first, 2 * room - 1)
        last = first + 1
    filled = [first <= half < last for half in range(2 * room)]
    shapes = {(True, True): "━", (True, False): "╸", (False, True): "╺", (False, False): " "}
    return "".join(shapes[filled[i], filled[i + 1]] for i in range(0, 2 * room, 2))
