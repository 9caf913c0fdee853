"""Strips of a figure that texts and images share: the head, the colours, the account, notes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..explanation import Explained
from . import account
from .colors import LIGHT, to_hex
from .drawing import INK, LINE, SOFT, Box, Label, Strip
from .escape import one_line
from .fonts import measure
from .layout import Span, origin
from .numbers import decimals_for, percent, signed
from .wrapping import wrap

TEXT, SMALL, FACTS, TITLE = 12.0, 8.0, 9.5, 16.0
"""Font sizes in points."""


def header(data: Explained, width: float) -> Iterator[Strip]:
    """The explained class, its score and probability, and where the numbers come from."""
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
        yield from wrapped(facts, width, FACTS, SOFT)
    if source := " · ".join(origin(data)):
        yield from small(source, width)


def legend(peak: float, width: float) -> Strip:
    """The colours, from against to for; ``peak`` is the value of the full colour."""
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


def account_of(table: account.Table, width: float) -> Strip:
    """The account with its bars; one strip, so that a page break does not cut the sum."""
    step = 13.5
    rows = [*table.rows, table.result]
    names = [shortened(one_line(row.label), width / 3) for row in rows]
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


def small(text: str, width: float, color: str = SOFT) -> Iterator[Strip]:
    """A remark in small print."""
    return wrapped(text, width, SMALL, color)


def wrapped(text: str, width: float, size: float, color: str) -> Iterator[Strip]:
    """A text in lines as wide as there is room."""
    for line in wrap([Span(one_line(text))], width, lambda part: measure(part, size)):
        shown = "".join(piece.text for piece in line)
        yield Strip(size * 1.45, labels=[Label(0, size * 1.05, shown, size, color)])


def shortened(text: str, room: float, size: float = FACTS, bold: bool = True) -> str:
    """A text cut to its room."""
    if measure(text, size, bold) <= room:
        return text
    while text and measure(text + "…", size, bold) > room:
        text = text[: len(text) * 9 // 10]
    return text + "…"
