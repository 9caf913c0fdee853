"""An explained image in every format: what stands there, and that it loads back."""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lxt_like as lxt
from lxt_like.errors import InputError, NumericalError
from lxt_like.explanation import Account
from lxt_like.render import account, save, to_html, to_json, to_latex, to_terminal
from lxt_like.render.json import from_json
from lxt_like.render.terminal_image import _coarser
from lxt_like.render.views import panels

from .image_samples import chequered
from .samples import review

Shown = lxt.ImageExplanation.of


def test_the_account_adds_up_in_its_rows() -> None:
    table = account.table(chequered())
    assert [(r.label, r.shown) for r in table.rows] == [
        ("pixels", "+1.500"), ("bias", "+0.250"), ("cls", "+0.250")
    ]  # fmt: skip
    assert table.closes and table.result.shown == "+2.000"
    off = replace(chequered(), account=Account(2.0, 1.75, {"bias": 0.25}))
    checks = account.table(off).checks
    assert "pixels sum to 1.5, the account's inputs are 1.75" in checks


def test_json_loads_back_equal(tmp_path: Path) -> None:
    data = Shown(chequered())
    for given in (data, [data, data]):
        lxt.save(given, tmp_path / "x.json")
        assert lxt.load(tmp_path / "x.json") == given
    document = json.loads(to_json(data))
    assert document["schema"] == "lxt_like/image-explanation" and document["version"] == 1
    assert Shown(from_json(to_json(data))) != Shown(replace(chequered(), name="other"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.update(pixels="AAAA"), r"pixels: expected a PNG"),
        (lambda e: e.update(pixels="?"), r"pixels: expected base64"),
        (lambda e: e["channels"].update(shape=[3, 8, 11]), "do not make an array of shape"),
        (lambda e: e["channels"].update(shape=[8, 12, 3]), r"\(12, 3\) does not fit the 8 x 12"),
        (lambda e: e.update(grid=[3, 3]), r"cells of \(4, 4\) do not fit 8 x 12 pixels"),
        (lambda e: e.update(grid=[2]), "expected two numbers"),
        (lambda e: e.update(extra=1), "unknown field 'extra'"),
        (lambda e: e.pop("sides"), "missing sides"),
    ],
)
def test_a_document_that_was_tampered_with(change: Any, message: str) -> None:
    document = json.loads(to_json(chequered()))
    change(document["explanation"])
    with pytest.raises(InputError, match=message):
        from_json(json.dumps(document))


def test_texts_and_images_do_not_mix_in_json() -> None:
    with pytest.raises(InputError, match="explanations of one kind"):
        to_json([review(), chequered()])
    assert to_html([review(), chequered()]).count("<article") == 2


def test_html_holds_pictures_and_numbers() -> None:
    data = replace(chequered(), target=replace(chequered().target, label="<b>cat</b>"))
    page = to_html(data, view="pair")
    assert page.count("<img") == 4 and "&lt;b&gt;cat&lt;/b&gt;" in page and "<b>cat" not in page
    assert "http" not in re.sub(r"http-equiv", "", page)
    first = re.search(r"data:image/png;base64,([^\"]+)", page)
    assert first is not None
    shown = np.asarray(Image.open(io.BytesIO(b64decode(first[1]))))
    assert np.array_equal(shown, panels(data, "pair")[0].pixels)
    for text in ("dog", "20.0 %", "+2.000", "chequers.png", "Two frames.", "img-src data:"):
        assert text in page
    assert "own largest" in to_html(chequered(), view="trace")


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_figures(tmp_path: Path, suffix: str) -> None:
    once, again = (tmp_path / f"{n}{suffix}" for n in "ab")
    for path in (once, again):
        Shown(chequered()).save(path, view="trace")
    assert once.read_bytes() == again.read_bytes()
    save([review(), chequered()], tmp_path / f"both{suffix}")


def test_a_figure_shows_the_maps_pixel_by_pixel(tmp_path: Path) -> None:
    save(chequered(), tmp_path / "x.png", view="overlay")
    page = np.asarray(Image.open(tmp_path / "x.png").convert("RGB"))
    (panel,) = panels(chequered(), "overlay")
    for color in (panel.pixels[0, 0], panel.pixels[-1, -1]):
        assert (np.abs(page.astype(int) - color).sum(-1) <= 3).any()


def test_latex_is_for_texts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="LaTeX shows explanations of texts only"):
        to_latex(chequered())
    with pytest.raises(InputError, match=r"use one of \.html, \.png, \.pdf, \.svg, \.json"):
        save(chequered(), tmp_path / "x.tex")


def test_a_terminal_without_colours() -> None:
    lines = to_terminal(chequered(), width=60, color=False).splitlines()
    assert lines[0] == " cat   score +2.000   probability 75.0 %"
    assert lines[3:6] == [" = . #", " = . #", " # + for, = - against, . neither"]
    text = "\n".join(lines)
    assert "strongest patches  row 1 column 3" in text
    assert "likeliest classes  cat 75.0 % · dog 20.0 %" in text
    assert "\x1b" not in text


def test_a_terminal_with_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = to_terminal(chequered(), width=60, color=True)
    row = shown.splitlines()[3]
    assert row.count("▀") == 2 * 28 and "38;2;" in row
    for width in (20, 40, 200):
        for line in re.sub(
            r"\x1b\[[\d;]*m", "", to_terminal(chequered(), width, True)
        ).splitlines():
            assert len(line) <= width


def test_many_patches_are_summed() -> None:
    cells = np.arange(49, dtype=np.float32).reshape(7, 7)
    small = _coarser(cells, 4)
    assert small.shape == (4, 4) and small.sum() == cells.sum()
    assert small[0, 0] == cells[:2, :2].sum() and small[3, 3] == cells[6, 6]


def test_relevance_that_is_not_finite() -> None:
    channels = chequered().channels.copy()
    channels[0, 0, 0] = np.inf
    broken = replace(chequered(), channels=channels)
    for show in (to_json, to_html, to_terminal):
        with pytest.raises(NumericalError):
            show(broken)


def test_an_image_whose_sums_differ_is_refused() -> None:
    one = chequered()
    for wrong, message in (
        (replace(one, channels=2 * one.channels), "the sum of the pixels is 3, but"),
        (replace(one, target=replace(one.target, score=3.0)), "target's score is 3, but"),
        (replace(one, top=(replace(one.target, probability=1.5),)), "from 0 to 1, got 1.5"),
    ):
        with pytest.raises(InputError, match=message):
            from_json(to_json(wrong))
