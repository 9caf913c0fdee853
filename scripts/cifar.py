"""CIFAR-10 for training: its images, their augmentation, and what is right of a model's answers."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


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


class Data(NamedTuple):
    """Images as uint8 and their labels, to learn from and to test with; class names."""

    pixels: Tensor
    labels: Tensor
    test_pixels: Tensor
    test_labels: Tensor
    names: list[str]

    def watched(self, classify: Callable[[Tensor], Tensor]) -> str:
        """What is printed of a model while it is trained."""
        return f"{accuracy(classify, self.test_pixels[:2000], self.test_labels[:2000]):.1%}"


def load_data(folder: Path | None, hub: str | None) -> Data:
    """The training and test images."""
    if folder is not None:
        pixels, labels, names = from_folder(folder, "train")
        return Data(pixels, labels, *from_folder(folder, "test5k")[:2], names)
    assert hub is not None
    pixels, labels, names = from_hub(hub, "train")
    return Data(pixels, labels, *from_hub(hub, "test")[:2], names)


@torch.no_grad()
def accuracy(classify: Callable[[Tensor], Tensor], pixels: Tensor, labels: Tensor) -> float:
    """Share of images whose class is predicted; ``classify`` takes pixels of 0 to 1."""
    right = 0
    for i in range(0, len(pixels), 500):
        right += int((classify(pixels[i : i + 500] / 255).argmax(-1) == labels[i : i + 500]).sum())
    return right / len(pixels)


def augmented(pixels: Tensor) -> Tensor:
    """Shifted by up to 4 pixels (reflected at the border), mirrored by chance."""
    n, _, size, _ = pixels.shape
    padded = F.pad(pixels.float(), (4, 4, 4, 4), mode="reflect").to(torch.uint8)
    down, right = torch.randint(0, 9, (2, n, 1))
    rows, columns = down + torch.arange(size), right + torch.arange(size)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns, columns.flip(1))
    at = torch.arange(n)[:, None, None]
    return padded.permute(0, 2, 3, 1)[at, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mixed(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Every other batch mixed with itself, by mixup or cutmix; soft labels [n, classes]."""
    soft, other = F.one_hot(y, classes).float(), torch.randperm(len(x))
    way = float(torch.rand(()))
    if way < 0.5:
        return x, soft
    if way < 0.75:
        share = float(torch.rand(()))
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
