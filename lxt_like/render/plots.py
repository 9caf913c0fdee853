"""Figures of numbers: relevance over layers, and a bar for each feature."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError, NumericalError
from ..methods.trace import Trace
from .colors import LIGHT
from .escape import one_line
from .files import suffix_of, write

FORMATS = (".png", ".pdf", ".svg")
_FOR, _AGAINST, _REST, _INK = LIGHT.positive, LIGHT.negative, "#8a8f98", "#22262c"
_SERIES = ("#22262c", "#c5221f", "#1b5fb4", "#2e7d32", "#8e44ad", "#b26a00")


@dataclass(frozen=True)
class Chart:
    """A figure that is drawn when it is saved or shown."""

    draw: Callable[[], Any] = field(repr=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``.png``, ``.pdf`` or ``.svg``, whole or not at all."""
        write(path, self.content(suffix_of(path, FORMATS)))

    def content(self, suffix: str = ".png") -> bytes:
        """The file's content; the same data give the same bytes."""
        from matplotlib import style

        ours = {
            "text.parse_math": False,
            "svg.hashsalt": "lxt_like",
            "svg.fonttype": "path",
            "pdf.fonttype": 42,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
        with style.context(["default", ours]):
            figure = self.draw()
            out = io.BytesIO()
            meta = {"Software": "lxt_like"} if suffix == ".png" else {"CreationDate": None}
            meta = {"Date": None} if suffix == ".svg" else meta
            figure.savefig(out, format=suffix[1:], dpi=150, bbox_inches="tight", metadata=meta)
        return out.getvalue()

    def _repr_png_(self) -> bytes:
        return self.content()


def _finite(values: Sequence[float], what: str) -> list[float]:
    try:
        found = [float(v) for v in values]
    except (TypeError, ValueError, RuntimeError) as e:
        raise InputError(f"{what} are no numbers ({e}); give names first, then numbers") from e
    if not all(map(math.isfinite, found)):
        raise NumericalError(f"{what} hold NaN or infinity")
    return found


def _shown(name: Any, most: int = 42) -> str:
    text = one_line(str(name))
    return text if len(text) <= most else "…" + text[-(most - 1) :]


def trace_figure(
    layers: Trace | Sequence[str],
    series: Mapping[str, Sequence[float]] | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    positive: Sequence[float] | None = None,
    negative: Sequence[float] | None = None,
    title: str = "",
) -> Chart:
    """Relevance over layers: a line for each series, and where its sign turns.

    Args:
        layers: what ``lxt.trace`` returned, which says all but ``path`` and ``title``: a line for
            each sample's net relevance; or names in execution order.
        series: label -> one number for each layer, such as the net relevance.
        path: ``.png``, ``.pdf`` or ``.svg``.
        positive, negative: sums for and against at each layer, drawn as bars behind the lines.

    Raises:
        InputError: where lengths differ or nothing is given; NumericalError: NaN or infinity.
    """
    if isinstance(layers, Trace):
        if any(given is not None for given in (series, positive, negative)):
            raise InputError("trace: a trace has its own series; give only path= and title= too")
        layers, series, positive, negative = _parts(layers)
    if not isinstance(series, Mapping):
        raise InputError(
            "trace: expected what lxt.trace returns, or layers and a mapping label -> numbers, "
            f"got {type(series).__name__} for the latter"
        )
    names = [_shown(name) for name in layers]
    lines = {_shown(k): _finite(v, f"the values of {k!r}") for k, v in series.items()}
    bars = [None if v is None else _finite(v, "the sums") for v in (positive, negative)]
    for values in (*lines.values(), *(b for b in bars if b is not None)):
        if len(values) != len(names):
            raise InputError(f"trace: {len(values)} values for {len(names)} layers")
    if not names or not lines:
        raise InputError("trace: give at least one layer and one series")

    def draw() -> Any:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(max(5.0, 1.6 + 0.34 * len(names)), 4.0))
        axes = figure.add_subplot()
        at = range(len(names))
        for values, colour in zip(bars, (_FOR, _AGAINST), strict=True):
            if values is not None:
                axes.bar(at, values, color=colour, alpha=0.25, width=0.8)
        axes.axhline(0, color=_REST, linewidth=0.8)
        for (label, values), colour in zip(lines.items(), _SERIES * len(lines), strict=False):
            axes.plot(at, values, color=colour, marker="o", markersize=3.5, label=label)
            for i in range(1, len(values)):
                if values[i - 1] * values[i] < 0:
                    axes.plot(i, values[i], "o", color=colour, markersize=10, fillstyle="none")
        axes.set_xticks(list(at), names, rotation=90, fontsize=8)
        axes.set_ylabel("relevance")
        if title:
            axes.set_title(one_line(title), fontsize=11)
        axes.legend(frameon=False, fontsize=8)
        return figure

    made = Chart(draw)
    if path is not None:
        made.save(path)
    return made


def _parts(
    trace: Trace,
) -> tuple[list[str], dict[str, list[float]], Sequence[float] | None, Sequence[float] | None]:
    """Layers, the net relevance of each sample, and of a single one what is for and against."""
    labels = [
        label if trace.labels.count(label) == 1 else f"{label} ({i})"
        for i, label in enumerate(trace.labels)
    ]
    series = {label: [row.net[i] for row in trace.rows] for i, label in enumerate(labels)}
    names = [row.layer for row in trace.rows]
    if len(labels) > 1:
        return names, series, None, None
    rows = trace.rows
    return names, series, [row.positive[0] for row in rows], [row.negative[0] for row in rows]


def bars(
    names: Sequence[str],
    values: Sequence[float],
    path: str | os.PathLike[str] | None = None,
    *,
    shown: Mapping[str, Any] | None = None,
    kept: Mapping[str, float] | None = None,
    score: float | None = None,
    top: int = 15,
    title: str = "",
) -> Chart:
    """A bar for each feature's contribution, largest first, so that the sum can be checked.

    Args:
        names, values: of the features.
        path: ``.png``, ``.pdf`` or ``.svg``.
        shown: feature -> its own value, printed beside the name.
        kept: what a ledger keeps elsewhere (biases, ...), as grey bars.
        score: printed with the sum of all bars.
        top: features shown; the others are one bar.

    Raises:
        InputError: where lengths differ or nothing is given; NumericalError: NaN or infinity.
    """
    numbers = _finite(values, "the contributions")
    if len(names) != len(numbers) or not numbers:
        raise InputError(f"bars: {len(names)} names for {len(numbers)} values")
    if top < 1:
        raise InputError(f"bars: top must be positive, got {top}")
    facts = dict(shown or {})
    order = sorted(range(len(numbers)), key=lambda i: -abs(numbers[i]))
    rows = []
    for i in order[:top]:
        fact = f" = {_shown(facts[names[i]], 14)}" if names[i] in facts else ""
        colour = _FOR if numbers[i] >= 0 else _AGAINST
        rows.append((_shown(names[i]) + fact, numbers[i], colour))
    if len(order) > top:
        rest = sum(numbers[i] for i in order[top:])
        rows.append((f"{len(order) - top} more features", rest, _REST))
    for cause, amount in (kept or {}).items():
        rows.append((_shown(cause), _finite([amount], "the ledger's entries")[0], _REST))
    total = sum(amount for _, amount, _ in rows)

    def draw() -> Any:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.8, 0.9 + 0.27 * len(rows)))
        axes = figure.add_subplot()
        at = range(len(rows))
        axes.barh(at, [v for _, v, _ in rows], color=[c for _, _, c in rows], height=0.72)
        axes.axvline(0, color=_INK, linewidth=0.8)
        axes.set_yticks(list(at), [name for name, _, _ in rows], fontsize=9)
        axes.invert_yaxis()
        room = max(abs(v) for _, v, _ in rows) or 1.0
        axes.set_xlim(
            min(0.0, *(v for _, v, _ in rows)) - 0.18 * room,
            max(0.0, *(v for _, v, _ in rows)) + 0.18 * room,
        )
        for i, (_, v, _) in enumerate(rows):
            side = "left" if v >= 0 else "right"
            nudge = 0.015 * room if v >= 0 else -0.015 * room
            axes.text(v + nudge, i, f"{v:+.3g}", va="center", ha=side, fontsize=8, color=_INK)
        account = f"sum of the bars {total:+.5g}"
        if score is not None:
            account += f"   score {score:+.5g}"
        axes.set_xlabel(account, fontsize=9)
        axes.tick_params(axis="y", length=0)
        if title:
            axes.set_title(one_line(title), fontsize=11)
        return figure

    made = Chart(draw)
    if path is not None:
        made.save(path)
    return made
