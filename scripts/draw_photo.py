#!/usr/bin/env python3
"""Draw the picture that ships with the package: ``lxt_like/demo/pictures/ship.png``.

python scripts/draw_photo.py [FILE]

A ship at sea, drawn here from simple shapes, so that no photograph's licence is needed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

OUT = Path(__file__).resolve().parents[1] / "lxt_like" / "demo" / "pictures" / "ship.png"
SIZE, TIMES = 192, 4


def gradient(top: tuple[int, ...], bottom: tuple[int, ...], height: int, width: int) -> np.ndarray:
    """[height, width, 3] from one colour to another."""
    share = np.linspace(0, 1, height)[:, None, None]
    return np.broadcast_to(
        np.array(top) * (1 - share) + np.array(bottom) * share, (height, width, 3)
    )


def draw() -> Image.Image:
    """The picture, 192 x 192."""
    side = SIZE * TIMES
    horizon = round(0.62 * side)
    rng = np.random.default_rng(0)
    sky = gradient((120, 165, 212), (214, 226, 234), horizon, side)
    sea = gradient((70, 112, 140), (24, 58, 88), side - horizon, side)
    waves = rng.normal(0, 1, (side - horizon, side)).cumsum(1)
    waves = (waves - waves.mean(1, keepdims=True)) / waves.std(1, keepdims=True)
    sea = sea + 5 * waves[..., None]
    canvas = np.clip(np.concatenate([sky, sea]), 0, 255).astype(np.uint8)
    image = Image.fromarray(canvas)
    pen = ImageDraw.Draw(image)

    def shape(colour: tuple[int, int, int], *points: tuple[float, float]) -> None:
        pen.polygon([(x * side, y * side) for x, y in points], fill=colour)

    shape((196, 60, 52), (0.11, 0.68), (0.9, 0.66), (0.82, 0.75), (0.17, 0.75))
    shape((34, 42, 60), (0.06, 0.56), (0.96, 0.53), (0.89, 0.68), (0.12, 0.69))
    shape((240, 240, 238), (0.18, 0.47), (0.74, 0.46), (0.78, 0.55), (0.14, 0.56))
    shape((228, 230, 232), (0.24, 0.39), (0.64, 0.385), (0.67, 0.47), (0.22, 0.475))
    shape((246, 246, 246), (0.28, 0.32), (0.46, 0.315), (0.49, 0.39), (0.27, 0.395))
    shape((206, 74, 54), (0.51, 0.24), (0.59, 0.24), (0.6, 0.39), (0.51, 0.39))
    shape((30, 34, 42), (0.51, 0.24), (0.59, 0.24), (0.592, 0.275), (0.51, 0.275))
    shape((90, 94, 100), (0.36, 0.16), (0.368, 0.16), (0.37, 0.32), (0.36, 0.32))
    for row, (start, end) in ((0.51, (0.2, 0.74)), (0.43, (0.27, 0.63))):
        for x in np.linspace(start, end, 12):
            pen.rectangle(
                [x * side, row * side, (x + 0.014) * side, (row + 0.022) * side], fill=(54, 78, 104)
            )
    foam = Image.new("L", (side, side), 0)
    ImageDraw.Draw(foam).ellipse([0.1 * side, 0.72 * side, 0.88 * side, 0.78 * side], fill=150)
    foam = foam.filter(ImageFilter.GaussianBlur(0.012 * side))
    image.paste((222, 232, 236), mask=foam)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    path.parent.mkdir(parents=True, exist_ok=True)
    draw().save(path, optimize=True)
    print(path)
