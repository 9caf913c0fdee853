"""``report.html``: one self-contained page; its few lines of script only sort tables."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from ..render.pages import environment
from .counted import counted
from .gallery import Gallery
from .numbers import Column, p_value, plain
from .pictures import Chart, chart

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
        plain=plain,
        p_value=p_value,
        column=Column.of,
        estimates=Column.of_estimates,
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
