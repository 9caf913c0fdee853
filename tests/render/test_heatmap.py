"""Heat maps: every pixel's colour, every layout, every refusal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib import colormaps
from PIL import Image

from lxt_like.errors import InputError, NumericalError, RenderError
from lxt_like.render import heatmap
from tests.support import random


def test_pixels_are_exact() -> None:
    m = np.array([[0.0, 2.0, -1.0], [-2.0, 0.5, 1.0]])
    got = heatmap(m, cmap="bwr", scale=3).array()
    assert got.shape == (6, 9, 3)
    for i in range(2):
        for j in range(3):
            want = np.asarray(colormaps["bwr"]((m[i, j] / 2 + 1) / 2)[:3]) * 255
            tile = got[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].reshape(-1, 3)
            assert (tile == tile[0]).all()
            assert np.abs(tile[0] - want).max() <= 2


def test_the_house_colours() -> None:
    got = heatmap(np.array([[1.0, 0.0, -1.0]]), scale=1).array()[0]
    assert got.tolist() == [[0xC5, 0x22, 0x1F], [255, 255, 255], [0x1B, 0x5F, 0xB4]]


def test_channels_are_summed_and_batches_are_grids() -> None:
    r = random(5, 3, 4, 6)
    alone = [heatmap(m.sum(0), scale=2).array() for m in r]
    grid = heatmap(r, scale=2, columns=3, gap=1).array()
    assert grid.shape == (2 * 8 + 1, 3 * 12 + 2, 3)
    assert (grid[9:17, 13:25] == alone[4]).all()
    assert (grid[9:17, 26:] == 255).all()
    assert (heatmap(r.sum(1), scale=2, columns=3, gap=1).array() == grid).all()


def test_scales() -> None:
    maps = [np.array([[1.0, -1.0]]), np.array([[4.0, 2.0]])]
    own = heatmap(maps, scale=1, columns=1, gap=0).array()
    assert (own[0, 0] == own[1, 0]).all()
    shared = heatmap(maps, scale=1, columns=1, gap=0, vmax="shared").array()
    assert (shared[0, 0] != shared[1, 0]).any()
    by_number = heatmap(maps, scale=1, columns=1, gap=0, vmax=4.0).array()
    assert (by_number == shared).all()
    outlier = np.ones((10, 10))
    outlier[0, 0] = 1e6
    clipped = heatmap(outlier, scale=1, percentile=90).array()
    assert (clipped == heatmap(np.ones((10, 10)), scale=1).array()).all()
    one_sided = heatmap(np.array([[0.0, 1.0]]), scale=1, symmetric=False, cmap="gray").array()
    assert one_sided[0].tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_map(value: float) -> None:
    constant = np.full((3, 3), value)
    neutral = heatmap(constant, scale=1, symmetric=value == 0, cmap="bwr").array()
    assert (np.abs(neutral.astype(int) - 255) <= 2).all()


def test_overlay() -> None:
    m = np.array([[1.0, -1.0], [0.0, 0.0]])
    grey = np.array([[0, 100], [200, 255]], dtype=np.uint8)
    got = heatmap(m, image=grey, alpha=0.0, scale=1).array()
    assert got[..., 0].tolist() == grey.tolist()
    assert (heatmap(m, image=grey, alpha=1.0, scale=1).array() == heatmap(m, scale=1).array()).all()
    half = heatmap(m, image=grey, alpha=0.5, scale=1).array()
    assert np.abs(half[1, 0] - 227.5).max() <= 0.5
    colour = torch.rand(3, 2, 2)
    for image in (colour, colour.permute(1, 2, 0), Image.fromarray(np.zeros((5, 5, 3), np.uint8))):
        assert heatmap(m, image=image, scale=4).array().shape == (8, 8, 3)
    assert heatmap([m, m], image=[grey, grey], scale=1, gap=0).array().shape == (2, 4, 3)


def test_files(tmp_path: Path) -> None:
    m = random(4, 4)
    made = heatmap(m, tmp_path / "map.png", titles=["$x_1$ <b>"], scale=20)
    with Image.open(tmp_path / "map.png") as image:
        assert (np.asarray(image) == made.array()).all()
    for suffix, head in ((".pdf", b"%PDF"), (".svg", b"<?xml")):
        made.save(tmp_path / f"map{suffix}")
        content = (tmp_path / f"map{suffix}").read_bytes()
        assert content.startswith(head)
        made.save(tmp_path / f"map{suffix}")
        assert (tmp_path / f"map{suffix}").read_bytes() == content
    assert Image.open(io.BytesIO(made._repr_png_())).size == (80, 98)
    assert "base64" in made._repr_html_()


GOOD = np.ones((2, 2))


@pytest.mark.parametrize(
    ("relevance", "options", "error", "message"),
    [
        (np.array([[np.nan]]), {}, NumericalError, "NaN or infinity"),
        (torch.tensor([[float("inf")]]), {}, NumericalError, "NaN or infinity"),
        (np.ones(3), {}, InputError, r"a map is \[H, W\]"),
        (np.ones((0, 3)), {}, InputError, r"a map is \[H, W\]"),
        ([], {}, InputError, "no map"),
        (GOOD, {"cmap": "bwrr"}, InputError, "unknown colour map 'bwrr'; near it: .*bwr"),
        (GOOD, {"cmap": None}, InputError, "unknown colour map"),
        (GOOD, {"vmax": -1.0}, InputError, "vmax must be a positive number"),
        (GOOD, {"vmax": "mine"}, InputError, "vmax is None"),
        (GOOD, {"percentile": 0}, InputError, "percentile"),
        (GOOD, {"alpha": 2}, InputError, "alpha"),
        (GOOD, {"scale": 0}, InputError, "scale"),
        (GOOD, {"scale": 100_000}, InputError, "smaller scale"),
        (GOOD, {"titles": ["a", "b"]}, InputError, "2 titles for 1 maps"),
        (GOOD, {"image": [GOOD, GOOD]}, InputError, "2 images for 1 maps"),
        (GOOD, {"image": np.ones((2, 3, 4, 5))}, InputError, "2 images for 1 maps"),
        (GOOD, {"image": np.ones(3)}, InputError, "an image is"),
    ],
)
def test_refusals(relevance: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        heatmap(relevance, **options)


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        heatmap(GOOD, tmp_path / "map.gif")
    with pytest.raises(RenderError):
        heatmap(GOOD, tmp_path / "nowhere" / "map.png")


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int32]),
        hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6),
        elements=st.integers(-(2**20), 2**20),
    ),
    st.booleans(),
)
def test_any_array_is_drawn(relevance: Any, symmetric: bool) -> None:
    got = heatmap(relevance, symmetric=symmetric, scale=2).array()
    assert got.dtype == np.uint8
    assert got.ndim == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_any_dtype(dtype: torch.dtype) -> None:
    assert heatmap(torch.eye(3).to(dtype), scale=1).array()[0, 0].tolist() == [0xC5, 0x22, 0x1F]


def test_the_largest_floats_have_a_scale() -> None:
    top = np.finfo(np.float64).max
    got = heatmap(np.array([[top, -top]]), scale=1).array()[0]
    assert got.tolist() == [[0xC5, 0x22, 0x1F], [0x1B, 0x5F, 0xB4]]
