"""Which explanation of a vision transformer is faithful?  Several compared over a folder of images.

    python recipes/evaluate_vit.py
    python recipes/evaluate_vit.py --images path/to/folder --out report --samples 200
    python recipes/evaluate_vit.py --model path/or/hub-id --images path/to/folder --tune

A folder's sub-folders are the classes.  Without one, crops of the bundled picture are looked at:
enough to see the machinery, but crops of one picture are no sample, and the check of the random
order may well say so.
Open report.html in the folder it names.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image, ImageOps

import lxt_like as lxt

METHODS = ("random", "input_x_gradient", "rollout", "attnlrp", "attnlrp_gamma", "cp_lrp")


def crops(picture: Path, count: int, seed: int = 0) -> Iterator[Image.Image]:
    """Random crops of a picture, half of them mirrored."""
    image, rng = Image.open(picture).convert("RGB"), Random(seed)
    for i in range(count):
        side = int(min(image.size) * rng.uniform(0.7, 1.0))
        left, top = (rng.randint(0, whole - side) for whole in image.size)
        crop = image.crop((left, top, left + side, top + side))
        yield ImageOps.mirror(crop) if i % 2 else crop


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare explanations of a vision transformer.")
    parser.add_argument("--model", default=None, help="folder or hub id; default: the bundled one")
    parser.add_argument("--images", type=Path, help="a folder of images")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--steps", type=int, default=8, help="points of a curve")
    parser.add_argument("--out", type=Path, help="folder for the report")
    parser.add_argument("--tune", action="store_true", help="look for better rules first")
    args = parser.parse_args()

    model = lxt.demo.vit() if args.model is None else args.model
    data: Any = args.images
    if data is None:
        data = list(crops(lxt.demo.photo(), args.samples))
    methods: list[Any] = list(METHODS)
    if args.tune:
        tuned = lxt.tune(model, data, limit=args.samples, steps=args.steps, budget=12)
        print(f"{tuned}\n")
        methods.append(("tuned", tuned.composite))

    report = lxt.evaluate(
        model, data, methods=methods, samples=args.samples, steps=args.steps, out=args.out
    )
    print(report)

    print("\nhow sure is that? attnlrp minus the others, 95 % interval")
    for row in report.summary["paired"]:
        interval = "" if row["low"] is None else f"  ({row['low']:+.2f} … {row['high']:+.2f})"
        print(f"{row['difference']:+8.3f}{interval}  {row['method']}, {row['operator']}")

    worst = min(
        (row for row in report.tables["per_sample"].to_pylist() if row["method"] == "attnlrp"),
        key=lambda row: row["srg"],
    )
    print(f"\nleast faithful: sample {worst['sample']}, SRG {worst['srg']:.3f}")
    if args.out is not None:
        print(f"\n{args.out / 'report.html'}")


if __name__ == "__main__":
    try:
        main()
    except (lxt.LxtError, OSError) as error:
        sys.exit(f"error: {error}")
