from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lxt_like.errors import InputError
from lxt_like.evaluate.report import Report, load_report, report_of
from lxt_like.evaluate.statistics import estimate
from lxt_like.evaluate.summary import load_summary, summarise

from . import invented

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def report(images: bool = True, count: int = 12) -> Report:
    rows = invented.tables(count, images)
    summary = summarise(rows["per_sample"], rows["curves"], "attnlrp", memory={"attnlrp": 12.5})
    skipped = [{"sample": "bad<script>.png", "index": 3, "reason": "an empty file"}]
    summary |= {
        "lxt_like": "0.1.0",
        "model": {"name": "tiny & small", "labels": list(invented.LABELS)},
        "data": {"name": "a folder", "skipped": skipped, "notes": ["12 of 40 samples"]},
        "settings": {"seed": 0},
        "left_out": [{"method": "grad_cam", "reason": "the model has no last block"}],
        "extras": [],
    }
    return report_of(summary, rows)


def test_the_summary_says_what_the_rows_say() -> None:
    rows = invented.tables(30)
    made = summarise(rows["per_sample"], rows["curves"], "attnlrp")
    for row in made["table"]:
        if row["method"] == "random":
            continue
        values = [
            r["srg"]
            for r in rows["per_sample"]
            if (r["method"], r["operator"]) == (row["method"], row["operator"])
        ]
        found = estimate(values)
        assert (row["mean"], row["low"], row["n"]) == (found.mean, found.low, 30)
        wrong = [v for i, v in enumerate(values) if i % 5 == 0]
        assert row["wrong"]["mean"] == pytest.approx(np.mean(wrong))
        assert row["correct"]["n"] + row["wrong"]["n"] == 30
        assert row["classes"]["cat"]["mean"] == pytest.approx(np.mean(values[::2]))
    # two seeds of random count once a sample
    random = next(row for row in made["table"] if row["method"] == "random")
    assert random["n"] == 30
    assert [gate["passed"] for gate in made["validity"]] == [True, True]
    assert made["agreement"][0]["tau"] > 0.6
    clear = {row["method"] for row in made["paired"] if row["p_holm"] < 0.01}
    assert clear == {"random", "rollout"}
    assert made["predictions"] == {"samples": 30, "labelled": 30, "correct": 24}
    for curve in made["curves"]:
        assert curve["k"][0] == 0
        assert curve["k"][-1] == 1
        assert curve["morf_logit"]["mean"][0] == pytest.approx(3)


def test_a_gate_that_fails() -> None:
    rows = invented.tables(30)["per_sample"]
    for row in rows:
        if row["method"] == "random":
            row["srg"] += 1
    assert [gate["passed"] for gate in summarise(rows, [], "attnlrp")["validity"]] == [False] * 2


def test_it_is_written_and_read_again(tmp_path: Path) -> None:
    made = report()
    made.save(tmp_path)
    again = load_report(tmp_path)
    assert again.summary == made.summary
    assert all(again.tables[name].equals(made.tables[name]) for name in made.tables)
    assert len(again.per_sample) == 12 * 5 * 2
    assert str(again) == str(made)
    assert "left out: grad_cam" in str(made)
    (tmp_path / "summary.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(InputError, match="version 1, got 99"):
        load_summary(tmp_path / "summary.json")
    with pytest.raises(InputError, match="cannot read"):
        load_report(tmp_path / "nowhere")


def test_latex(tmp_path: Path) -> None:
    report().save(tmp_path)
    tex = (tmp_path / "table.tex").read_text()
    assert tex.count("\\\\\n") == 5
    assert tex.count("textbf") == 2
    assert r"integrated\_gradients" in tex


def test_names_are_escaped() -> None:
    page = report().to_html()
    assert "bad<script>" not in page
    assert "dog <b>" not in page
    assert "tiny &amp; small" in page
    assert "<film>" not in report(images=False).to_html()


def test_nothing_is_fetched() -> None:
    page = report().to_html()
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "url(" not in page


def dumped(page: Path, tmp_path: Path, *options: str) -> tuple[str, str]:
    """The page's document after its scripts ran, and what the console said."""
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
         *options, "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
@pytest.mark.parametrize("images", [True, False])
def test_in_a_browser(tmp_path: Path, images: bool) -> None:
    made = report(images)
    made.save(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    # as it is, under its own content policy: its script ran and nothing complained
    document, console = dumped(tmp_path / "report.html", tmp_path)
    assert 'data-ready="yes"' in document
    assert console == ""
    # the probe clicks, looks at the images and catches errors; so it needs a laxer policy
    probe = """<script>
    window.onerror = (message) => { document.body.dataset.error = message; };
    addEventListener("load", () => {
      const table = document.querySelector("table.sortable");
      const read = () => [...table.tBodies[0].rows].map((r) => r.cells[0].textContent).join();
      const buttons = table.querySelectorAll("thead button");
      const seen = [];
      for (const i of [1, 1, 0, 0]) { buttons[i].click(); seen.push(read()); }
      document.body.dataset.orders = seen.join("|");
      const images = [...document.images];
      document.body.dataset.images = images.length;
      document.body.dataset.broken = images.filter((i) => !i.naturalWidth).length;
      document.body.dataset.wide = document.documentElement.scrollWidth > innerWidth;
    });
    </script>"""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (tmp_path / "probed.html").write_text(page.replace("</head>", f"{probe}</head>"), "utf-8")
    document, console = dumped(tmp_path / "probed.html", tmp_path, "--window-size=500,900")
    body = dict(re.findall(r'data-(\w+)="([^"]*)"', re.search(r"<body[^>]*>", document)[0]))  # type: ignore[index]
    assert "error" not in body
    assert console == ""
    down, up, last, first = body["orders"].split("|")
    table: list[Any] = [row for row in made.table if row["operator"] == "mean"]
    by_mean = [row["method"] for row in sorted(table, key=lambda r: -r["mean"])]
    assert down.split(",") == by_mean
    assert up.split(",") == by_mean[::-1]
    assert last.split(",") == sorted(by_mean)[::-1]
    assert first.split(",") == sorted(by_mean)
    assert int(body["images"]) == (2 * (6 + 6 + 6 + 3) + 2 if images else 0)
    assert body["broken"] == "0"
    assert body["wide"] == "false"  # no sideways scrolling of the page on a phone
