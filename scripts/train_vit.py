#!/usr/bin/env python3
"""Train the bundled vision transformer (``lxt_like/demo/vit``) on CIFAR-10.

    python scripts/train_vit.py --data DIR [--teacher FILE] --out FOLDER [--epochs 40]
    python scripts/train_vit.py --hub uoft-cs/cifar10 --out FOLDER

``--data`` holds ``cifar10_train_jpeg.npz`` and ``cifar10_test5k_jpeg.npz`` (images as JPEG bytes:
``data``, ``offsets``, ``labels``, ``names``); ``--hub`` names a data set of the hub instead.
``--teacher`` is a trained ResNet-20, ``resnet20-*.th`` of pytorch_resnet_cifar10 (BSD): with one,
the targets are mostly its probabilities (Hinton et al. 2015, arXiv:1503.02531; of a convolutional
network for a transformer: Touvron et al. 2021, arXiv:2012.12877).

A plain ViT (Dosovitskiy et al. 2021, arXiv:2010.11929): 6 layers of 160, patches of 4 x 4, from
random weights, with random crops and flips, mixup (Zhang et al. 2018) or cutmix (Yun et al. 2019)
on half the batches, Muon for the matrices inside the layers and AdamW for the rest under a
one-cycle schedule, and an exponential moving average of the weights, which is what is saved.  After
every epoch the whole state goes to ``OUT/state.pt``; a run that was interrupted goes on from there,
with another ``--epochs`` on the rest of that schedule.
In bfloat16 an epoch takes about two and a half minutes on two CPU cores that have it in hardware.
"""

from __future__ import annotations

import argparse
import copy
import os
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from cifar import Data, accuracy, augmented, load_data, mixed
from resnet20 import Teacher, load_teacher
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def normalised(pixels: Tensor) -> Tensor:
    """Pixels of 0 to 1 as the model takes them."""
    mean, std = pixels.new_tensor(MEAN).view(-1, 1, 1), pixels.new_tensor(STD).view(-1, 1, 1)
    return (pixels - mean) / std


def loss_of(
    logits: Tensor, soft: Tensor, taught: Tensor | None, temperature: float = 2.0
) -> Tensor:
    """Cross-entropy; with a teacher, 0.1 of it and 0.9 of the divergence from the teacher."""
    loss = F.cross_entropy(logits, soft)
    if taught is None:
        return loss
    divergence = F.kl_div(
        F.log_softmax(logits / temperature, -1),
        F.log_softmax(taught / temperature, -1),
        reduction="batchmean",
        log_target=True,
    )
    return 0.1 * loss + 0.9 * temperature**2 * divergence


def classifier(model: ViTForImageClassification) -> Callable[[Tensor], Tensor]:
    """Logits [n, classes] of pixels of 0 to 1."""
    model.eval()
    return lambda pixels: model(normalised(pixels)).logits


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
            attn_implementation="eager",  # 65 tokens: the fused kernels are slower on a CPU
            id2label=dict(enumerate(names)),
            label2id={name: i for i, name in enumerate(names)},
        )
    )


def optimizers_for(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the rest (Jordan et al. 2024)."""
    inside = [p for n, p in model.named_parameters() if ".layer" in n and p.dim() == 2]
    rest = [p for n, p in model.named_parameters() if not (".layer" in n and p.dim() == 2)]
    decay, free = [p for p in rest if p.dim() > 1], [p for p in rest if p.dim() <= 1]
    return [
        torch.optim.Muon(inside, rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(
            [{"params": decay, "weight_decay": 0.05}, {"params": free, "weight_decay": 0.0}],
            rate,
            fused=True,
        ),
    ]


CARD = """---
license: bsd-3-clause
pipeline_tag: image-classification
datasets: [cifar10]
---

# A small vision transformer for CIFAR-10

`ViTForImageClassification`, ten classes (airplane, automobile, bird, cat, deer, dog, frog, horse,
ship, truck). 32 x 32 pixels, patches of 4 x 4, {layers} layers of width {width}: {size} million
parameters in float32. `from_pretrained` on this folder needs no network.

## Accuracy

{right:.1%} of {images:,} test images, measured on the saved files.

## How it was made

    {command}

{made}

## Limits

It knows ten classes and pictures of one object each, at 32 x 32 pixels; larger pictures are shrunk
first. On anything else its answer may be confident and wrong. It is meant for trying out
explanations.

## Origin and licence

Trained by this project and distributed under its licence. CIFAR-10 (Krizhevsky 2009, *Learning
Multiple Layers of Features from Tiny Images*) is research data; none of its images is distributed
here.
"""

MADE = (
    "From random weights on {learnt:,} training images{coded}: random crops and flips, mixup or "
    "cutmix on half the batches, Muon and AdamW under a one-cycle schedule, and the exponential "
    "moving average of the weights, which is what is saved.{taught}{begun}"
)
CODED = ", re-encoded as JPEG, so that accuracies are not comparable with published ones"
TAUGHT = (
    " Its targets are mostly the probabilities of a ResNet-20 (pytorch_resnet_cifar10 by Yerlan "
    "Idelbayev, BSD licence), which was trained on the same images and made used to their coding "
    "first; none of its weights is distributed here."
)


def learn(
    model: ViTForImageClassification, teacher: Teacher | None, data: Data, options: Options
) -> tuple[ViTForImageClassification, int]:
    """Train ``model``, going on from the state in ``OUT/state.pt``.

    Returns the average of its weights, and for how many epochs the run was begun.
    """
    average = copy.deepcopy(model).requires_grad_(False)
    optimizers = optimizers_for(model, options.rate)
    steps = len(data.pixels) // options.batch
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            options.rate,
            total_steps=options.epochs * steps,
            pct_start=0.1,
            cycle_momentum=False,
        )
        for optimizer in optimizers
    ]
    parts: list[Any] = [model, average, *optimizers, *schedules]
    state_file, first, begun = options.out / "state.pt", 0, options.epochs
    if state_file.is_file():
        state = torch.load(state_file, weights_only=True, map_location=options.device)
        # another --epochs than at first: the rest of the schedule is the new one's
        fitted = [
            {k: getattr(s, k) for k in ("total_steps", "_schedule_phases")} for s in schedules
        ]
        for part, saved in zip(parts, state["parts"], strict=True):
            part.load_state_dict(saved)
        for schedule, phases in zip(schedules, fitted, strict=True):
            schedule.__dict__.update(phases)
        first = state["epoch"]
        if first > options.epochs:
            raise SystemExit(f"error: {state_file} has {first} epochs behind it already")
        begun = state.get("begun", state["parts"][-1]["total_steps"] // steps)
    for epoch in range(first, options.epochs):
        torch.manual_seed(epoch)
        model.train()
        start, total = time.perf_counter(), 0.0
        order = torch.randperm(len(data.pixels))[: steps * options.batch]
        for step, chosen in enumerate(order.split(options.batch)):
            pixels = augmented(data.pixels[chosen]) / 255
            x, soft = mixed(pixels, data.labels[chosen], len(data.names))
            x, soft = x.to(options.device), soft.to(options.device)
            with torch.autocast(torch.device(options.device).type, torch.bfloat16):
                with torch.no_grad():
                    taught = None if teacher is None else teacher(x).float()
                logits = model(normalised(x)).logits.float()
            loss = loss_of(logits, soft, taught)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer, schedule in zip(optimizers, schedules, strict=True):
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
            done = epoch * steps + step + 1
            keep = min(0.999, (1 + done) / (10 + done))
            with torch.no_grad():
                for mean, new in zip(average.parameters(), model.parameters(), strict=True):
                    mean.lerp_(new, 1 - keep)
            total += float(loss.detach())
        saved = [part.state_dict() for part in parts]
        state = {"parts": saved, "epoch": epoch + 1, "begun": begun}
        torch.save(state, state_file.with_suffix(".new"))
        os.replace(state_file.with_suffix(".new"), state_file)
        right = data.watched(classifier(average.cpu()))
        average.to(options.device)
        print(
            f"epoch {epoch + 1}/{options.epochs}: loss {total / steps:.3f}, "
            f"{right} of 2,000 test images, {time.perf_counter() - start:.0f} s",
            flush=True,
        )
    return average, begun


def save(model: ViTForImageClassification, begun: int, data: Data, options: Options) -> float:
    """Model, processor and card; the accuracy of what was saved."""
    model.cpu().save_pretrained(options.out)
    ViTImageProcessor(
        do_resize=True,
        size={"height": 32, "width": 32},
        image_mean=list(MEAN),
        image_std=list(STD),
    ).save_pretrained(options.out)
    saved = ViTForImageClassification.from_pretrained(options.out)
    right = accuracy(classifier(saved), data.test_pixels, data.test_labels)
    made = MADE.format(
        learnt=len(data.pixels),
        coded="" if options.hub else CODED,
        taught=TAUGHT if options.teacher else "",
        begun="" if begun == options.epochs else f" The schedule was begun for {begun} epochs.",
    )
    card = CARD.format(
        layers=saved.config.num_hidden_layers,
        width=saved.config.hidden_size,
        size=f"{sum(p.numel() for p in saved.parameters()) / 1e6:.1f}",
        right=right,
        images=len(data.test_labels),
        command=command_of(options),
        made=textwrap.fill(made, 100),
    )
    (options.out / "README.md").write_text(card, encoding="utf-8")
    return right


def command_of(options: Options) -> str:
    """The command line again, folders without their names."""
    parts = ["python scripts/train_vit.py", f"--hub {options.hub}" if options.hub else "--data DIR"]
    parts += [f"--teacher {options.teacher.name}"] if options.teacher else []
    for name in ("batch", "width", "layers", "rate"):
        value = getattr(options, name)
        parts += [f"--{name} {value}"] if value != DEFAULTS[name] else []
    return " ".join([*parts, f"--epochs {options.epochs}"])


DEFAULTS: dict[str, int | float] = {"batch": 128, "width": 160, "layers": 6, "rate": 2e-3}


class Options(argparse.Namespace):
    """The command line."""

    data: Path | None
    hub: str | None
    out: Path
    teacher: Path | None
    epochs: int
    batch: int
    width: int
    layers: int
    rate: float
    device: str


def main(argv: Sequence[str] | None = None) -> int:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the two archives")
    parser.add_argument("--hub", help="a data set of the hub instead")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, help="resnet20-*.th, to learn from it")
    parser.add_argument("--epochs", type=int, default=40)
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(argv, namespace=Options())
    if (options.data is None) == (options.hub is None):
        parser.error("give either --data or --hub")
    torch.manual_seed(0)
    options.out.mkdir(parents=True, exist_ok=True)
    data = load_data(options.data, options.hub)
    model = build(data.names, options.width, options.layers).to(options.device)
    teacher = None
    if options.teacher:
        teacher = load_teacher(options.teacher, options.out, data, options.batch, options.device)
    right = save(*learn(model, teacher, data, options), data, options)
    print(f"test accuracy of the saved model: {right:.2%}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
