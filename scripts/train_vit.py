#!/usr/bin/env python3
"""Train the bundled vision transformer (``lxt_like/demo/vit``) on CIFAR-10.

    python scripts/train_vit.py --data DIR [--out FOLDER] [--epochs 48]
    python scripts/train_vit.py --hub uoft-cs/cifar10 --out FOLDER

``--data`` holds ``cifar10_train_jpeg.npz`` and ``cifar10_test5k_jpeg.npz`` (images as JPEG bytes:
``data``, ``offsets``, ``labels``, ``names``); ``--hub`` names a data set of the hub instead.

A plain ViT (Dosovitskiy et al. 2021, arXiv:2010.11929): 6 layers of 128, patches of 4 x 4, trained
from scratch with random crops and flips, mixup (Zhang et al. 2018) or cutmix (Yun et al. 2019),
label smoothing, AdamW under a one-cycle schedule, and an exponential moving average of the weights,
which is what is saved.  After every epoch the whole state goes to ``OUT/state.pt``; a run that was
interrupted goes on from there.  On two CPU cores an epoch takes about two and a half minutes.
"""

from __future__ import annotations

import argparse
import copy
import io
import itertools
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def from_folder(folder: Path, name: str) -> tuple[Tensor, Tensor, list[str]]:
    """Images [n, 3, 32, 32] as uint8, labels [n], class names."""
    with np.load(folder / f"cifar10_{name}_jpeg.npz", allow_pickle=False) as arrays:
        data, offsets, labels = arrays["data"], arrays["offsets"], arrays["labels"]
        names = [str(n) for n in arrays["names"]]
    images = [
        np.asarray(Image.open(io.BytesIO(data[a:b].tobytes())).convert("RGB"))
        for a, b in itertools.pairwise(offsets)
    ]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.from_numpy(labels.astype(np.int64)), names


def from_hub(dataset: str, split: str) -> tuple[Tensor, Tensor, list[str]]:
    """The same from a data set of the hub."""
    from datasets import load_dataset

    rows = load_dataset(dataset, split=split)
    image, label = ("img" if "img" in rows.features else "image"), "label"
    pixels = np.stack([np.asarray(row.convert("RGB")) for row in rows[image]])
    names = list(rows.features[label].names)
    return (
        torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        torch.tensor(rows[label]),
        names,
    )


def normalised(pixels: Tensor) -> Tensor:
    """uint8 images as the model takes them."""
    mean, std = torch.tensor(MEAN).view(-1, 1, 1), torch.tensor(STD).view(-1, 1, 1)
    return (pixels.float() / 255 - mean) / std


def augmented(pixels: Tensor) -> Tensor:
    """Shifted by up to 4 pixels (reflected at the border), mirrored by chance."""
    n, _, size, _ = pixels.shape
    padded = F.pad(pixels.float(), (4, 4, 4, 4), mode="reflect").to(torch.uint8)
    down, right = torch.randint(0, 9, (2, n, 1))
    rows, columns = down + torch.arange(size), right + torch.arange(size)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns, columns.flip(1))
    at = torch.arange(n)[:, None, None]
    return padded.permute(0, 2, 3, 1)[at, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mixed(x: Tensor, y: Tensor, classes: int, smoothing: float) -> tuple[Tensor, Tensor]:
    """The batch mixed with itself shuffled, by mixup or cutmix; soft labels [n, classes]."""
    soft = F.one_hot(y, classes).float() * (1 - smoothing) + smoothing / classes
    other = torch.randperm(len(x))
    if torch.rand(()) < 0.5:
        share = float(torch.distributions.Beta(0.2, 0.2).sample())
        x = share * x + (1 - share) * x[other]
    else:
        share = float(torch.rand(()))
        size = x.shape[-1]
        side = round(size * math.sqrt(1 - share))
        top, left = (int(torch.randint(0, size - side + 1, ())) for _ in range(2))
        x = x.clone()
        x[:, :, top : top + side, left : left + side] = x[other][
            :, :, top : top + side, left : left + side
        ]
        share = 1 - side * side / (size * size)
    return x, share * soft + (1 - share) * soft[other]


@torch.no_grad()
def accuracy(model: ViTForImageClassification, pixels: Tensor, labels: Tensor) -> float:
    """Share of images whose class is predicted."""
    model.eval()
    right = 0
    for i in range(0, len(pixels), 500):
        logits = model(normalised(pixels[i : i + 500])).logits
        right += int((logits.argmax(-1) == labels[i : i + 500]).sum())
    return right / len(pixels)


def build(names: list[str], width: int, layers: int) -> ViTForImageClassification:
    """An untrained model."""
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            intermediate_size=4 * width,
            image_size=32,
            patch_size=4,
            num_labels=len(names),
            id2label=dict(enumerate(names)),
            label2id={name: i for i, name in enumerate(names)},
        )
    )


CARD = """---
license: bsd-3-clause
pipeline_tag: image-classification
datasets: [cifar10]
---

# A small vision transformer for CIFAR-10

`ViTForImageClassification`, ten classes (airplane, automobile, bird, cat, deer, dog, frog, horse,
ship, truck). 32 x 32 pixels, patches of 4 x 4, 6 layers of width 128: {millions:.1f} million
parameters in float32. `from_pretrained` on this folder needs no network.

## Accuracy

{right:.1%} of {images:,} test images, measured on the saved files.

## How it was made

    python scripts/train_vit.py --data DIR --epochs {epochs}

From scratch on the 50,000 training images, re-encoded as JPEG, so that accuracies are not
comparable with published ones: random crops and flips, mixup or cutmix, label smoothing, AdamW
under a one-cycle schedule, and the exponential moving average of the weights, which is what is
saved. A run that is interrupted goes on; with another `--epochs` the rest of the schedule is the
new one's. This one began with 48.

## Limits

It knows ten classes and pictures of one object each, at 32 x 32 pixels; larger pictures are shrunk
first. On anything else its answer may be confident and wrong. It is meant for trying out
explanations.

## Origin and licence

Trained from scratch by this project and distributed under its licence. CIFAR-10 (Krizhevsky 2009,
*Learning Multiple Layers of Features from Tiny Images*) is research data; none of its images is
distributed here.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the two archives")
    parser.add_argument("--hub", help="a data set of the hub instead")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=48)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if (options.data is None) == (options.hub is None):
        parser.error("give either --data or --hub")
    torch.manual_seed(0)
    if options.data:
        pixels, labels, names = from_folder(options.data, "train")
        test_pixels, test_labels, _ = from_folder(options.data, "test5k")
    else:
        pixels, labels, names = from_hub(options.hub, "train")
        test_pixels, test_labels, _ = from_hub(options.hub, "test")
    model = build(names, options.width, options.layers).to(options.device)
    average = copy.deepcopy(model).requires_grad_(False)
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}],
        lr=options.rate,
        fused=True,
    )
    steps = len(pixels) // options.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, total_steps=options.epochs * steps, pct_start=0.1
    )
    options.out.mkdir(parents=True, exist_ok=True)
    state_file, first = options.out / "state.pt", 0
    if state_file.is_file():
        state = torch.load(state_file, weights_only=True, map_location=options.device)
        for part, name in ((model, "model"), (average, "average"), (optimizer, "optimizer")):
            part.load_state_dict(state[name])
        # another --epochs than at first: the rest of the schedule is the new one's
        fitted = {k: getattr(schedule, k) for k in ("total_steps", "_schedule_phases")}
        schedule.load_state_dict({**state["schedule"], **fitted})
        first = state["epoch"]
    for epoch in range(first, options.epochs):
        torch.manual_seed(epoch)
        model.train()
        start, total = time.perf_counter(), 0.0
        order = torch.randperm(len(pixels))
        for step in range(steps):
            chosen = order[step * options.batch : (step + 1) * options.batch]
            x = normalised(augmented(pixels[chosen]))
            x, soft = mixed(x, labels[chosen], len(names), 0.1)
            logits = model(x.to(options.device)).logits
            loss = F.cross_entropy(logits, soft.to(options.device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            done = epoch * steps + step + 1
            keep = min(0.9995, (1 + done) / (10 + done))
            with torch.no_grad():
                for mean, new in zip(average.parameters(), model.parameters(), strict=True):
                    mean.lerp_(new, 1 - keep)
            total += float(loss.detach())
        state = {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": epoch + 1,
        }
        torch.save(state, state_file.with_suffix(".new"))
        os.replace(state_file.with_suffix(".new"), state_file)
        right = accuracy(average.cpu(), test_pixels[:2000], test_labels[:2000])
        average.to(options.device)
        print(
            f"epoch {epoch + 1}/{options.epochs}: loss {total / steps:.3f}, "
            f"{right:.1%} of 2,000 test images, {time.perf_counter() - start:.0f} s",
            flush=True,
        )
    average.cpu().save_pretrained(options.out)
    ViTImageProcessor(
        do_resize=True,
        size={"height": 32, "width": 32},
        image_mean=list(MEAN),
        image_std=list(STD),
    ).save_pretrained(options.out)
    saved = ViTForImageClassification.from_pretrained(options.out)
    right = accuracy(saved, test_pixels, test_labels)
    parameters = sum(p.numel() for p in saved.parameters())
    card = CARD.format(
        right=right, images=len(test_labels), epochs=options.epochs, millions=parameters / 1e6
    )
    (options.out / "README.md").write_text(card, encoding="utf-8")
    print(f"test accuracy of the saved model: {right:.2%}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
