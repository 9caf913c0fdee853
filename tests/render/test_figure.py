from __future__ import annotations

import io
import logging
import math
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib.image import imread

from lxt_like.errors import InputError, NumericalError, RenderError
from lxt_like.explanation import Account, TextData
from lxt_like.render import figure, save_figure
from lxt_like.render.figure import figure_bytes

from ..strategies import text_data
from .checks import check_figures
from .samples import plain, review

SUFFIXES = pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])


def pixels(data: TextData | list[TextData], **options: float) -> np.ndarray:
    """[height, width, 3] in 0..255."""
    image = imread(io.BytesIO(figure_bytes(data, ".png", **options)))  # type: ignore[arg-type]
    return (255 * image[..., :3]).round().astype(int)


def has_color(image: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((np.abs(image - color).max(axis=-1) <= 1).any())


def test_words_have_their_colors() -> None:
    image = pixels(plain("good bad", {"good": 1.0, "bad": -1.0}))
    assert has_color(image, (0xC5, 0x22, 0x1F))
    assert has_color(image, (0x1B, 0x5F, 0xB4))
    assert image.shape[1] == 1400


def test_nothing_is_cut_off() -> None:
    """The margin is white all around, whatever the width: no ink leaves the page."""
    tiny = plain("a", {"a": 1.23e-100}, Account(-1.234e-100, 1.23e-100, {"b" * 99: -2.464e-100}))
    cards = [review(), plain("x" * 200), plain("电影" * 40, label="Y" * 99), tiny]
    for width in (2.5, 3.3, 7.0):
        image = pixels(cards, width=width, dpi=100)
        inner = image[20:-20, 20:-20]
        assert (inner < 128).any()
        for edge in (image[:20], image[-20:], image[:, :20], image[:, -20:]):
            assert (edge == 255).all()


def test_longer_text_is_higher() -> None:
    short, long = pixels(plain("word " * 10)), pixels(plain("word " * 100))
    assert long.shape[0] > short.shape[0] + 200
    assert long.shape[1] == short.shape[1]


@SUFFIXES
def test_same_input_same_bytes(suffix: str) -> None:
    assert figure_bytes(review(), suffix) == figure_bytes(review(), suffix)
    for stamp in (b"CreationDate", b"ModDate", b"dc:date"):
        assert stamp not in figure_bytes(review(), suffix)


def test_dollars_and_backslashes_are_text() -> None:
    """Mathtext would set these smaller, or refuse them: here they measure as plain text."""
    for text in ("$x^2$", "\\frac{", "$$", "\\$"):
        figure_bytes(plain(text), ".png", dpi=50)
    flat = pixels(plain("$aaaaaaaa$ b", {"b": 0.0}), dpi=100)
    other = pixels(plain("8aaaaaaaa8 b", {"b": 0.0}), dpi=100)  # $ and 8 are equally wide
    assert has_same_boxes(flat, other)


def has_same_boxes(one: np.ndarray, other: np.ndarray) -> bool:
    red = [np.abs(image - (0xC5, 0x22, 0x1F)).max(axis=-1) <= 1 for image in (one, other)]
    columns = [np.flatnonzero(mask[:120].any(axis=0)) for mask in red]
    return bool(columns[0].min() == columns[1].min() and columns[0].max() == columns[1].max())


def test_missing_glyphs_warn_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        for suffix in figure.FORMATS:
            figure_bytes(plain("电影 🎉 👩‍👩‍👧 सिनेमा \U0010fff0"), suffix)
    assert not caplog.records


def test_long_pdf_has_pages_and_a_short_one_fits_its_text() -> None:
    def pages(data: TextData | list[TextData]) -> list[tuple[float, float]]:
        boxes = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", figure_bytes(data, ".pdf"))
        return [(float(w), float(h)) for w, h in boxes]

    assert len(pages(review())) == 1
    assert pages(review())[0][1] < 400
    long = pages(plain("word " * 3000))
    assert len(long) > 5
    assert all(w == 504 and h <= 504 * math.sqrt(2) + 1 for w, h in long)
    assert len(pages([review()] * 4)) == 2  # none of the four is cut


def test_too_large_a_picture_is_refused_or_drawn_coarser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure, "MAX_PIXELS", 400_000)
    image = pixels(plain("word " * 100))
    assert 504 <= image.shape[1] < 1400
    assert image.shape[0] * image.shape[1] <= 410_000
    with pytest.raises(RenderError, match=r"too large at 200 dpi.*\.pdf"):
        figure_bytes(plain("word " * 100), ".png", dpi=200)
    monkeypatch.setattr(figure, "MAX_PIXELS", 10_000)
    with pytest.raises(RenderError, match="too large at 72 dpi"):
        figure_bytes(plain("word " * 100), ".png")


@pytest.mark.parametrize(
    "options",
    [{"width": 1.0}, {"width": math.nan}, {"dpi": 0.0}, {"dpi": math.inf}, {"width": 1e9}],
)
def test_impossible_sizes(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be"):
        figure_bytes(review(), ".png", **options)  # type: ignore[arg-type]


def test_other_formats_and_nan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png, \.pdf, \.svg"):
        save_figure(review(), tmp_path / "x.jpg")
    with pytest.raises(NumericalError):
        save_figure(plain("a", {"a": math.nan}), tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_left_as_it_was(tmp_path: Path) -> None:
    """No pyplot, no backend chosen, no setting changed, and the user's settings have no say."""
    code = f"""
import sys, matplotlib
matplotlib.rcParams["text.usetex"] = True
matplotlib.rcParams["savefig.bbox"] = "tight"
matplotlib.rcParams["font.size"] = 33
def settings():  # past RcParams' own reading, which would choose a backend
    return {{key: dict.__getitem__(matplotlib.rcParams, key) for key in matplotlib.rcParams}}
before = settings()
from lxt_like.render import save_figure
from tests.render.samples import review
save_figure(review(), {str(tmp_path / "a.png")!r})
assert "matplotlib.pyplot" not in sys.modules
assert settings() == before
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
    assert (tmp_path / "a.png").read_bytes() == figure_bytes(review(), ".png")


def test_right_to_left_lines_are_mirrored() -> None:
    rtl = pixels(plain("סרט רע", {"סרט": 1.0, "רע": -1.0}), dpi=100)
    line = rtl[60:100]  # below the header
    red = np.flatnonzero((np.abs(line - (0xC5, 0x22, 0x1F)).max(axis=-1) <= 1).any(axis=0))
    blue = np.flatnonzero((np.abs(line - (0x1B, 0x5F, 0xB4)).max(axis=-1) <= 1).any(axis=0))
    assert red.min() > blue.max()


@settings(max_examples=8, deadline=None)
@given(text_data())
def test_odd_texts(data: TextData) -> None:
    check_figures(data)
