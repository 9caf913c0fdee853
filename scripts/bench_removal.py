#!/usr/bin/env python
"""The removal engine against a loop over single forwards, on a vision transformer.

    python scripts/bench_removal.py [--model FOLDER] [--images 8] [--steps 16] [--operator drop]

Both give the same two curves; the loop is what is usually written: one image, one removal, one
forward, a call of the model for each.  Prints the times, their ratio, the largest difference of
the logits, and what 1,000 images would take.  Without ``--model`` the ViT has random weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.removal import Curve, remove, step_counts
from lxt_like.evaluate.task import Batch, Row


def load(folder: str | None) -> ImageTask:
    """The given model, or 6 layers of 128 over 8 x 8 patches."""
    if folder:
        return ImageTask.load(folder)
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=128,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=512,
        image_size=32,
        patch_size=4,
        num_labels=10,
        initializer_range=0.2,
    )
    model = ViTForImageClassification(config).eval()
    return ImageTask.load(model, {"size": 32, "mean": 0.5, "std": 0.25})


@torch.no_grad()
def naive(task: ImageTask, batch: Batch, scores: list[Tensor], operator: str, steps: int) -> Any:
    """[B, 2, K + 1]: one forward a point, for the operators "mean" and "drop".

    Tokens that are dropped are computed up to the first block only, since there is no other way.
    """
    curves = []
    op = task.operators[operator]
    for i in range(len(batch)):
        order = np.argsort(-scores[i].numpy(), kind="stable")
        pair = []
        for chosen in (order, order[::-1]):
            points = []
            for k in step_counts(batch.units[i], steps):
                gone = torch.zeros(1, batch.units[i], dtype=torch.bool)
                gone[0, chosen[:k].copy()] = True
                logits = op.logits(task, batch, torch.tensor([i]), gone.to(batch.member.device))
                points.append(float(logits[0, batch.targets[i]]))
            pair.append(points)
        curves.append(pair)
    return np.array(curves)


def logits_of(curves: list[Curve]) -> Any:
    return np.array([[c.morf_logit, c.lerf_logit] for c in curves])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model folder or hub id")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--operator", default="drop")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    task = load(options.model)
    height, width = task.noise(1).shape[-2:]
    drawn = np.random.default_rng(0).integers(0, 256, (options.images, height, width, 3))
    batch = task.prepare([Row(str(i), p.astype("uint8")) for i, p in enumerate(drawn)])
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randn(n, generator=generator) for n in batch.units]
    remove(task, batch.select([0]), scores[:1], options.operator, options.steps)  # warm up

    start, cpu = time.perf_counter(), time.process_time()
    curves = remove(task, batch, scores, options.operator, options.steps)
    fast, fast_cpu = time.perf_counter() - start, time.process_time() - cpu
    start, cpu = time.perf_counter(), time.process_time()
    expected = naive(task, batch, scores, options.operator, options.steps)
    slow, slow_cpu = time.perf_counter() - start, time.process_time() - cpu

    error = float(np.abs(logits_of(curves) - expected).max())
    print(f"{options.images} images, {options.steps} steps, operator {options.operator!r}")
    print(f"engine {fast:.2f} s (CPU {fast_cpu:.2f}), loop {slow:.2f} s (CPU {slow_cpu:.2f})")
    print(f"{slow / fast:.1f}x faster (CPU time {slow_cpu / fast_cpu:.1f}x)")
    print(f"largest difference {error:.1e} of logits within {np.abs(expected).max():.1f}")
    print(f"1,000 images: {1000 * fast / options.images / 60:.1f} minutes")
    return 0 if error < 1e-3 else 1


if __name__ == "__main__":
    raise SystemExit(main())
