"""A ResNet-20 for CIFAR-10 as a teacher: its weights are read from a file, then it is tuned."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from cifar import Data, augmented
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut that drops pixels and pads channels."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, out // into, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.more = (out - into) // 2

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return F.relu(out + x)


class Teacher(nn.Module):
    """ResNet-20 for CIFAR-10 (He et al. 2016, arXiv:1512.03385); takes pixels of 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32), Block(32, 32), Block(32, 32))
        self.layer3 = nn.Sequential(Block(32, 64), Block(64, 64), Block(64, 64))
        self.linear = nn.Linear(64, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        mean, std = (
            pixels.new_tensor([0.485, 0.456, 0.406]),
            pixels.new_tensor([0.229, 0.224, 0.225]),
        )
        x = (pixels - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
        x = F.relu(self.bn1(self.conv1(x.contiguous(memory_format=torch.channels_last))))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def tune(teacher: Teacher, data: Data, batch: int, device: str, epochs: int) -> None:
    """Make the teacher used to these images: it was trained on them before their JPEG coding."""
    teacher.train().requires_grad_(True)
    optimizer = torch.optim.SGD(teacher.parameters(), 0.03, momentum=0.9, weight_decay=5e-4)
    steps = len(data.pixels) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.03, total_steps=epochs * steps)
    for epoch in range(epochs):
        order, total = torch.randperm(len(data.pixels)), 0.0
        for chosen in order[: steps * batch].split(batch):
            x = (augmented(data.pixels[chosen]) / 255).to(device)
            with torch.autocast(torch.device(device).type, torch.bfloat16):
                logits = teacher(x).float()
            loss = F.cross_entropy(logits, data.labels[chosen].to(device))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            total += float(loss.detach())
        print(f"teacher, epoch {epoch + 1}/{epochs}: loss {total / steps:.3f}", flush=True)
    teacher.eval().requires_grad_(False)


def load_teacher(file: Path, out: Path, data: Data, batch: int, device: str) -> Teacher:
    """The teacher, used to these images: kept in the folder ``out`` for a run that goes on."""
    state = torch.load(file, weights_only=True, map_location="cpu")["state_dict"]
    teacher = Teacher()
    teacher.load_state_dict({name.removeprefix("module."): t for name, t in state.items()})
    teacher.to(device).eval().requires_grad_(False)
    kept = out / f"{file.stem}-tuned.pt"
    if kept.is_file():
        teacher.load_state_dict(torch.load(kept, weights_only=True, map_location=device))
    else:
        tune(teacher, data, batch, device, epochs=6)
        torch.save(teacher.state_dict(), kept.with_suffix(".new"))
        os.replace(kept.with_suffix(".new"), kept)
    print(f"teacher: {data.watched(teacher.cpu())} of 2,000 test images", flush=True)
    return teacher.to(device)
