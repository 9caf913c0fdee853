"""Grad-CAM where the last block's places are others than the first's, and where layers write in
place; against a map computed by hand from a module named by its path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers as t
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.methods import make_methods
from lxt_like.evaluate.places import Layout, layout_of
from lxt_like.evaluate.task import Row
from tests.evaluate.conftest import pictures

PIXELS = {"mean": 0.5, "std": 0.25}
STAGES: dict[str, Any] = {
    "depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2],
}  # fmt: skip
WINDOWS: dict[str, Any] = {
    "image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [1, 2],
    "window_size": 4,
}  # fmt: skip


def by_hand(model: Any, path: str, pixels: Tensor, target: int, front: int) -> Tensor:
    """The map [rows, cols] of a square grid of tokens that the module at ``path`` reads."""
    seen: list[Tensor] = []

    def watch(module: nn.Module, args: Any, kwargs: Any) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    handle = model.get_submodule(path).register_forward_pre_hook(watch, with_kwargs=True)
    logits = model(pixel_values=pixels).logits
    handle.remove()
    (slope,) = torch.autograd.grad(logits[0, target], seen)
    h, slope = seen[0][0, front:], slope[0, front:]
    side = round(len(h) ** 0.5)
    assert side * side == len(h) and side > 1
    return (h @ slope.mean(0)).reshape(side, side).detach()


MAKE: dict[str, tuple[Callable[[], nn.Module], int, str, int]] = {
    "swin": (
        lambda: t.SwinForImageClassification(t.SwinConfig(**WINDOWS)),
        64, "swin.encoder.layers.1.blocks.1", 0,
    ),
    "swin, more patches than cells": (
        lambda: t.SwinForImageClassification(t.SwinConfig(**{**WINDOWS, "image_size": 160})),
        160, "swin.encoder.layers.1.blocks.1", 0,
    ),
    "swinv2": (
        lambda: t.Swinv2ForImageClassification(t.Swinv2Config(**WINDOWS)),
        64, "swinv2.encoder.layers.1.blocks.1", 0,
    ),
    "pvt, CLS in the last stage alone": (
        lambda: t.PvtForImageClassification(t.PvtConfig(image_size=64, **STAGES)),
        64, "pvt.encoder.block.3.0", 1,
    ),
    "pvt_v2": (
        lambda: t.PvtV2ForImageClassification(t.PvtV2Config(image_size=64, **STAGES)),
        64, "pvt_v2.encoder.layers.3.blocks.0", 0,
    ),
    "segformer": (
        lambda: t.SegformerForImageClassification(t.SegformerConfig(**STAGES)),
        64, "segformer.stages.3.blocks.0", 0,
    ),
    "focalnet": (
        lambda: t.FocalNetForImageClassification(
            t.FocalNetConfig(image_size=64, embed_dim=8, depths=[1, 1], focal_levels=[2, 2],
                             focal_windows=[3, 3])
        ),
        64, "focalnet.encoder.stages.1.layers.0", 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKE)
def test_a_hierarchical_transformer_s_last_block_is_read(name: str) -> None:
    make, size, path, front = MAKE[name]
    torch.manual_seed(0)
    model = make().eval()
    task = ImageTask.load(model, {"size": size, **PIXELS})
    batch = task.prepare(pictures(1))
    methods, left_out = make_methods(task, ["gradcam"])
    assert not left_out
    found = methods[0](task, batch)[0]
    cam = by_hand(model, path, batch.inputs["pixels"], int(batch.targets[0]), front)
    expected = F.interpolate(cam[None, None], task.image.grid, mode="bilinear").flatten()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert cam.shape != task.image.grid  # other places than the units


def test_where_the_last_places_are_not_known_it_is_left_out() -> None:
    config = t.HieraConfig(
        image_size=[32, 32], embed_dim=8, depths=[1, 1], num_heads=[1, 2], num_query_pool=1,
        masked_unit_size=[4, 4],
    )  # fmt: skip
    torch.manual_seed(0)
    task = ImageTask.load(t.HieraForImageClassification(config).eval(), {"size": 32, **PIXELS})
    _, left_out = make_methods(task, ["gradcam"])
    assert "number of places" in left_out["gradcam"]


def test_a_map_with_the_channels_last() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.linear(x).relu()

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 8, 8)
            self.blocks = nn.Sequential(Block(), Block())
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            made: Tensor = self.blocks(self.conv(x).permute(0, 2, 3, 1))
            out: Tensor = self.head(made.mean((1, 2)))
            return out

    torch.manual_seed(0)
    model = Model().eval()
    task = ImageTask.load(model, {"size": (32, 48), **PIXELS}, cell=8)
    batch = task.prepare(pictures(1))
    methods, _ = make_methods(task, ["gradcam"])
    h = model.blocks[0](model.conv(batch.inputs["pixels"]).permute(0, 2, 3, 1)).detach()
    h.requires_grad_()
    score = model.head(model.blocks[1](h).mean((1, 2)))[0, int(batch.targets[0])]
    (slope,) = torch.autograd.grad(score, h)
    expected = (h[0] @ slope[0].mean((0, 1))).flatten().detach()
    torch.testing.assert_close(methods[0](task, batch)[0], expected)


def test_layouts() -> None:
    def found(*shape: int, size: tuple[int, int] = (64, 96), prefix: int = 0) -> Layout | None:
        return layout_of(torch.Size(shape), *size, prefix)

    assert found(1, 7, 8, 12) == Layout("first")
    assert found(1, 8, 12, 7) == Layout("last")
    assert found(1, 24, 7) == Layout("tokens")
    assert found(1, 25, 7) == Layout("tokens", 1)
    assert found(1, 29, 7, prefix=5) == Layout("tokens", 5)
    assert found(1, 23, 7) is None
    assert found(1, 4, 24, 24) is None  # attention weights
    assert found(1, 1, 7) is None
    assert found(24, 7) is None
    hidden = torch.arange(25.0)[None, :, None]
    placed = Layout("tokens", 1).map(hidden, 64, 96)
    assert placed is not None and placed.tolist() == [
        [[1 + 6.0 * row + col for col in range(6)] for row in range(4)]
    ]


class Shortcut(nn.Module):
    """A residual block whose shortcut runs last; one ReLU serves all of the model."""

    def __init__(self, relu: nn.Module) -> None:
        super().__init__()
        self.conv, self.shortcut, self.relu = nn.Conv2d(6, 8, 3, 2, 1), nn.Conv2d(6, 8, 1, 2), relu

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.conv(x))
        out: Tensor = self.relu(h + self.shortcut(x))
        return out


class Grown(nn.Module):
    """Every layer adds channels to those before."""

    def __init__(self, relu: nn.Module) -> None:
        super().__init__()
        self.first, self.rest = nn.Conv2d(6, 2, 3, 2, 1), nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        out: Tensor = self.norm(torch.cat([h, self.rest(h)], 1))
        return out


class Branches(nn.Module):
    def __init__(self, relu: nn.Module) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(6, 5, 1, 2), nn.Conv2d(6, 3, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.two(x)], 1)


@pytest.mark.parametrize("block", [Shortcut, Grown, Branches])
def test_a_cnn_s_whole_last_map_is_read(block: Callable[[nn.Module], nn.Module]) -> None:
    """Not the branch or the shortcut whose convolution happens to run last."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()
            self.stem, self.block = nn.Conv2d(3, 6, 3, 2, 1), block(self.relu)
            self.hidden, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

        def read(self, h: Tensor) -> Tensor:
            out: Tensor = self.head(self.relu(self.hidden(F.adaptive_avg_pool2d(h, 1).flatten(1))))
            return out

        def forward(self, x: Tensor) -> Tensor:
            return self.read(self.block(self.relu(self.stem(x))))

    torch.manual_seed(0)
    model = Net().eval()
    task = ImageTask.load(model, {"size": 32, **PIXELS}, cell=4)
    batch = task.prepare(pictures(1))
    methods, left_out = make_methods(task, ["gradcam"])
    assert not left_out
    h = model.block(model.relu(model.stem(batch.inputs["pixels"]))).detach().requires_grad_()
    (slope,) = torch.autograd.grad(model.read(h)[0, int(batch.targets[0])], h)
    cam = (slope.mean((2, 3), keepdim=True) * h).sum(1).detach()
    assert cam.shape[1:] == (8, 8)
    torch.testing.assert_close(methods[0](task, batch)[0], cam.flatten(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("block", [False, True])
def test_layers_that_write_in_place_change_nothing(block: bool) -> None:
    def make(inplace: bool) -> nn.Module:
        torch.manual_seed(0)
        if block:
            return Tokens(inplace).eval()
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace), nn.MaxPool2d(4),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Linear(32, 3),
        ).eval()  # fmt: skip

    found = []
    for inplace in (True, False):
        task = ImageTask.load(make(inplace), {"size": 32, **PIXELS}, cell=8)
        methods, left_out = make_methods(task, ["gradcam"])
        assert not left_out
        found.append(methods[0](task, task.prepare(pictures(1)))[0])
    torch.testing.assert_close(*found)
    assert found[0].abs().max() > 0


class Tokens(nn.Module):
    """Blocks that begin by writing into what they read."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 8, 8)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(inplace), nn.Linear(8, 8)) for _ in range(2)
        )
        self.head = nn.Linear(8, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.conv(pixels).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(x.mean(1))
        return out


def test_a_model_it_fails_on_is_evaluated_without_it() -> None:
    class Cut(nn.Module):
        """The last map has no part in the answer's graph."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 8, 8)
            self.head = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.conv(x).detach().mean((2, 3)) + x.mean())
            return out

    task = ImageTask.load(Cut().eval(), {"size": 32, **PIXELS}, cell=8)
    drawn = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    made = lxt.evaluate(task, [drawn], methods=["random", "gradcam"], steps=2)
    assert made.summary["methods"] == ["random"]
    assert [row["method"] for row in made.summary["left_out"]] == ["gradcam"]
    assert task.prepare([Row("a", drawn)]).units == [16]
