"""``report.html``: one self-contained page; its few lines of script only sort tables."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from ..render.pages import environment
from .counted import counted
from .gallery import Gallery
from .pictures import Chart, chart

if TYPE_CHECKING:
    pass

SHOWN = 6
"""Methods in a chart: the best by the headline, and random as the floor."""


def to_html(
    summary: Mapping[str, Any],
    galleries: Sequence[Gallery],
    maps: Sequence[tuple[str, int, str]],
    title: str,
) -> str:
    """The page of a summary; ``maps`` as ``gallery.mean_maps`` makes them."""
    script = (resources.files(__package__) / "templates" / "report.js").read_text("utf-8")
    template = environment("lxt_like.evaluate").get_template("report.html")
    order = {name: i for i, name in enumerate(summary["operators"])}
    ranked = sorted(summary["table"], key=lambda row: (order[row["operator"]], -_key(row)))
    return template.render(
        title=title,
        s={**summary, "table": ranked},
        extras=summary.get("extras", []),
        galleries=galleries,
        maps=maps,
        charts=charts(summary),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        counted=counted,
        number=number,
        p_value=p_value,
        interval=interval,
    )


def charts(summary: Mapping[str, Any]) -> list[Chart]:
    """Both curves of each operator, the logit, for the best methods and random."""
    made = []
    colors: dict[str, int] = {}  # a method has one colour in all charts
    for operator in summary["operators"]:
        ranked = sorted(
            (row for row in summary["table"] if row["operator"] == operator),
            key=lambda row: -_key(row),
        )
        names = [row["method"] for row in ranked]
        floor = [name for name in names if name == "random"]
        names = [name for name in names if name != "random"][: SHOWN - len(floor)] + floor
        there = {c["method"]: c for c in summary["curves"] if c["operator"] == operator}
        for which, order in (("morf_logit", "most"), ("lerf_logit", "least")):
            lines = [there[name] for name in names if name in there and there[name][which]]
            if not lines:
                continue
            for line in lines:
                colors.setdefault(line["method"], len(colors))
            made.append(chart(lines, which, f"{operator}: {order} relevant removed first", colors))
    return made


def _key(row: Mapping[str, Any]) -> float:
    return float("-inf") if row["mean"] is None else float(row["mean"])


def number(value: float | None) -> str:
    """A number for a table, about three digits; a dash where there is none."""
    if value is None:
        return "–"
    size = abs(value)
    decimals = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2
    text = f"{value:.{3 if size < 0.1 and decimals else decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def interval(row: Mapping[str, Any]) -> str:
    """``low .. high`` of an estimate, or a dash."""
    if row["low"] is None or row["high"] is None:
        return "–"
    return f"{row['low']:.2f} … {row['high']:.2f}"


def p_value(value: float | None) -> str:
    """A p-value as it is read."""
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
