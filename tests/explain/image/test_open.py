"""Every kind of picture becomes upright opaque RGB; every broken one is one clear sentence."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lxt_like.errors import InputError
from lxt_like.explain.image import open_image
from lxt_like.explain.image.open import is_image_like

from .conftest import picture

RED = (200, 10, 20)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def header_only(path: Path, width: int, height: int) -> Path:
    """A PNG that promises a size and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "HSV"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = picture().convert(mode)
    got = open_image(image).image
    assert got.mode == "RGB" and got.size == image.size
    if mode in ("RGB", "RGBA", "CMYK"):
        assert np.abs(np.asarray(got).astype(int) - np.asarray(picture())).max() <= 1


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    values = np.zeros((1, 3, 4), np.uint8)
    values[0] = [(*RED, 255), (*RED, 0), (*RED, 128)]
    path = saved(Image.fromarray(values), tmp_path / "a.png")
    got = np.asarray(open_image(path).image)[0].astype(int)
    half = [round(c * 128 / 255 + 255 * 127 / 255) for c in RED]
    assert got[0].tolist() == list(RED) and got[1].tolist() == [255, 255, 255]
    assert np.abs(got[2] - half).max() <= 1


def test_a_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([*RED, 0, 0, 0])
    image.putpixel((1, 0), 1)
    path = saved(image, tmp_path / "p.png", transparency=1)
    got = np.asarray(open_image(path).image)[0]
    assert got.tolist() == [list(RED), [255, 255, 255]]


def test_16_bits_become_8(tmp_path: Path) -> None:
    values = np.array([[0, 257, 65535, 32896]], np.uint16)
    path = saved(Image.fromarray(values), tmp_path / "deep.png")
    got = np.asarray(open_image(path).image)[0, :, 0]
    assert got.tolist() == [0, 1, 255, 128]
    assert np.asarray(open_image(values).image)[0, :, 2].tolist() == [0, 1, 255, 128]


def test_an_animation_gives_its_first_frame_and_says_so(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), c) for c in (RED, (0, 0, 255), (0, 255, 0))]
    path = saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    opened = open_image(path)
    assert opened.image.getpixel((0, 0)) == RED
    assert opened.notes == ("The image has 3 frames; the first is explained.",)


def test_the_rotation_of_a_camera_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 4), (0, 0, 0))
    image.paste(RED, (0, 0, 2, 4))  # left edge; turned by 90 degrees clockwise: the top
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(image, tmp_path / "turned.png", exif=exif)
    got = open_image(path).image
    assert got.size == (4, 8)
    assert got.getpixel((1, 0)) == RED and got.getpixel((1, 7)) == (0, 0, 0)


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        lambda i: np.asarray(i) / 255.0,
        lambda i: np.moveaxis(np.asarray(i), -1, 0),
        lambda i: torch.from_numpy(np.array(i)).permute(2, 0, 1),
        lambda i: {"image": i, "label": 1},
        lambda i: {"img": np.asarray(i)},
        lambda i: {"bytes": png(i), "path": None},
        lambda i: {"image": {"bytes": png(i), "path": "x.png"}},
        png := lambda i: (b := io.BytesIO(), i.save(b, "PNG"), b.getvalue())[2],
    ],
    ids="array floats first tensor row img bytes undecoded raw".split(),
)
def test_whatever_holds_an_image(make: object) -> None:
    given = make(picture())  # type: ignore[operator]
    assert is_image_like(given)
    assert np.array_equal(np.asarray(open_image(given).image), np.asarray(picture()))


def test_broken_files(tmp_path: Path) -> None:
    whole = saved(picture(300, 200), tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no image at all")
    png = bytearray(saved(picture(), tmp_path / "whole.png").read_bytes())
    png[60:80] = b"\0" * 20
    (tmp_path / "flipped.png").write_bytes(png)
    for name, message in {
        "empty.png": "'empty.png' is an empty file",
        "cut.jpg": "'cut.jpg' breaks off",
        "text.png": "'text.png' is no image that can be read",
        "flipped.png": "'flipped.png' is damaged",
        "absent.png": "no such image file",
    }.items():
        with pytest.raises(InputError, match=message):
            open_image(tmp_path / name)
    with pytest.raises(InputError, match="got the folder"):
        open_image(tmp_path)


@pytest.mark.parametrize(("width", "height"), [(20_000, 8), (8, 20_000), (20_000, 20_000)])
def test_huge_images_are_refused_before_they_are_decoded(
    tmp_path: Path, width: int, height: int
) -> None:
    path = header_only(tmp_path / "huge.png", width, height)
    with pytest.raises(InputError, match=r"'huge.png' is too large.*make it smaller"):
        open_image(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4, 2)), "an image array is"),
        (np.zeros((0, 4, 3), np.uint8), "an image array is"),
        (np.full((4, 4, 3), 7.5), "floats within 0..1, got float64 from 7.5"),
        (np.full((4, 4, 3), 300), "got int64 from 300"),
        (np.array([["a"]]), "holds uint8"),
        ({"text": "a"}, "expected a row with an image .* got a dict of text"),
        (3, "expected an image: a path.*got int"),
    ],
)
def test_what_is_no_image(given: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_image(given)
