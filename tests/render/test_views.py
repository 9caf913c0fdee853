"""The pictures of an explained image: which pixels get which colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lxt_like.errors import InputError, NumericalError
from lxt_like.render.views import VIEWS, columns, panels, spread, view_of

from .image_samples import chequered


def redness(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 0].astype(int) - pixels[..., 2]


@pytest.mark.parametrize("view", VIEWS)
def test_sizes(view: str) -> None:
    data = chequered()
    found = panels(data, view, scale=3)
    assert len(found) == {"overlay": 1, "side": 2, "patches": 1, "pair": 4, "trace": 2}[view]
    for panel in found:
        assert panel.pixels.shape == (24, 36, 3) and panel.pixels.dtype == np.uint8
    assert view_of(data, view, scale=3).array().shape[0] >= 24
    assert panels(data, view)[0].pixels.shape == (8 * 27, 12 * 27, 3)


def test_red_is_for_and_blue_against() -> None:
    (overlay,) = panels(chequered(), "overlay", scale=1)
    assert redness(overlay.pixels[:, -1]).min() > 50
    assert redness(overlay.pixels[:, 0]).max() < -50
    (patches,) = panels(chequered(), "patches", scale=1)
    assert (np.sign(redness(patches.pixels))[:, :4] == -1).all()
    assert (np.sign(redness(patches.pixels))[:, 8:] == 1).all()
    plain, _ = panels(chequered(), "side", scale=1)
    assert np.array_equal(plain.pixels, chequered().pixels) and plain.limit == 0


def test_a_pair_shares_its_colours() -> None:
    _, cat, dog, difference = panels(chequered(), "pair", scale=1)
    assert cat.limit == dog.limit == difference.limit
    assert cat.title == "cat +2" and dog.title == "dog +0.5" and difference.title == "difference +2"
    # half the relevance of the difference, so paler
    assert redness(cat.pixels)[0, -1] < redness(difference.pixels)[0, -1]
    assert redness(dog.pixels)[0, -1] < 0


def test_a_trace_names_what_tokens_beside_the_patches_hold() -> None:
    pixels, layer = panels(chequered(), "trace")
    assert pixels.title == "pixels" and layer.title == "layer.0 +2 | +0.5"


def test_relevance_that_is_zero_is_neutral() -> None:
    data = replace(chequered(), channels=np.zeros((3, 8, 12), np.float32))
    (overlay,) = panels(data, "overlay", scale=1)
    assert overlay.limit == 0 and (redness(overlay.pixels) == 0).all()


def test_what_cannot_be_shown() -> None:
    data = chequered()
    with pytest.raises(InputError, match="the views are overlay, side, patches, pair, trace"):
        panels(data, "round")
    with pytest.raises(InputError, match="needs an explanation of a contrast"):
        panels(replace(data, sides=()), "pair")
    with pytest.raises(InputError, match="explain with trace=True"):
        panels(replace(data, layers=()), "trace")
    with pytest.raises(InputError, match="scale is a whole number"):
        panels(data, "overlay", scale=0)
    broken = data.channels.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(NumericalError, match="not finite"):
        panels(replace(data, channels=broken), "overlay")


def test_rows_of_panels() -> None:
    assert [columns(n) for n in (1, 2, 4, 5, 8, 13)] == [1, 2, 4, 3, 4, 6]


def test_cells_are_spread_over_their_pixels() -> None:
    """Oblong cells, a last row that takes what is left over, and a layer's own resolution."""
    data = replace(chequered(9, 12), cell=(4, 6), grid=(2, 2))
    cells = np.array([[1.0, 2.0], [3.0, 4.0]])
    want = [[cells[min(y // 4, 1)][x // 6] for x in range(12)] for y in range(9)]
    assert spread(data, cells).tolist() == want
    three = np.array([[1.0, 2.0, 3.0]])
    assert spread(data, three)[0].tolist() == [1.0] * 4 + [2.0] * 4 + [3.0] * 4
