#!/usr/bin/env python
"""What the account costs: the bundled models, one by one and in batches, with and without ledger.

    python scripts/bench_ledger.py [--inputs 32] [--rounds 5]

Prints the milliseconds of CPU time for each text (or image), the median over rounds in which all
settings take turns, and how much slower than batches without account each setting is.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lxt_like as lxt
from lxt_like.explain import load_image_model

SETTINGS = [(1, True), (8, True), (1, False), (16, False)]
"""Batch size, and whether there is a ledger."""


def cases(inputs: int) -> dict[str, Callable[..., object]]:
    """What is timed, by name: takes batch_size and ledger."""
    from transformers import pipeline

    reviews = list(lxt.demo.reviews())
    texts = [reviews[i % len(reviews)] for i in range(inputs)]
    photo = Image.open(lxt.demo.photo())
    images = [photo.rotate(360 * i / inputs) for i in range(inputs)]
    classifier = pipeline("text-classification", model=str(lxt.demo.sentiment()))
    vit = load_image_model(lxt.demo.vit())
    return {
        f"{inputs} texts": partial(lxt.explain, classifier, texts),
        f"{inputs} images": partial(lxt.explain, vit, images),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, run in cases(options.inputs).items():
        took: dict[tuple[int, bool], list[float]] = {setting: [] for setting in SETTINGS}
        for counted in range(options.rounds + 1):  # the first warms up
            for setting in SETTINGS:
                start = time.process_time()
                run(batch_size=setting[0], ledger=setting[1])
                if counted:
                    took[setting].append(1000 * (time.process_time() - start) / options.inputs)
        base = statistics.median(took[SETTINGS[-1]])
        print(name)
        for (size, ledger), times in took.items():
            middle = statistics.median(times)
            what = "with account" if ledger else "without"
            print(f"  batches of {size:>2} {what:<12} {middle:6.1f} ms each  {middle / base:4.1f}x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
