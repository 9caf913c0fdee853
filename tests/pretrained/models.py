"""Real pretrained networks, rebuilt around weight files that are not part of the project."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LXT_DATA", ROOT.parent / "shared" / "data"))


def need(*parts: str) -> Path:
    """A file of the data folder; the test is skipped without it."""
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not here; set LXT_DATA to the folder of research data")
    return path


class SumPool(nn.Module):
    """The sum over 2 x 2, halved, as LeNet-5 of the LRP Toolbox has it."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) * 2


def lenet5() -> nn.Module:
    """LeNet-5 of the LRP Toolbox (text form), for [n, 1, 32, 32] in [-1, 1]; float64."""
    lines = iter(need("weights", "lrp_toolbox_lenet5", "LeNet-5.txt").read_text().splitlines())
    layers: list[nn.Module] = []
    for line in lines:
        kind, *sizes = line.split()
        if kind == "Convolution":
            height, width, depth, filters, *stride = map(int, sizes)
            conv = nn.Conv2d(depth, filters, (height, width), tuple(stride))
            weight = np.array(next(lines).split(), dtype=np.float64)
            weight = weight.reshape(height, width, depth, filters).transpose(3, 2, 0, 1)
            conv.weight.data = torch.from_numpy(weight.copy())
            conv.bias.data = torch.from_numpy(np.array(next(lines).split(), dtype=np.float64))
            layers.append(conv)
        elif kind == "Rect":
            layers.append(nn.ReLU())
        elif kind == "SumPool":
            layers.append(SumPool())
        elif kind == "Flatten":
            layers.append(nn.Flatten())
    return nn.Sequential(*layers).double().eval()


def digits(n: int) -> tuple[Tensor, Tensor]:
    """The first ``n`` MNIST test digits as LeNet-5 takes them, and their labels."""
    from scipy.io import loadmat

    pixels = loadmat(need("images", "mnist", "test_images.mat"))["data"][:n]
    labels = np.load(need("images", "mnist", "test_labels.npy"), allow_pickle=False)[:n]
    x = torch.from_numpy(pixels.astype(np.float64)).reshape(-1, 1, 28, 28) / 127.5 - 1
    return F.pad(x, (2, 2, 2, 2), value=-1.0), torch.from_numpy(labels.astype(np.int64)).flatten()


class Fire(nn.Module):
    """Squeeze, then two expansions side by side."""

    def __init__(self, into: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.conv1x1_1 = nn.Conv2d(into, squeeze, 1)
        self.conv1x1_2 = nn.Conv2d(squeeze, expand, 1)
        self.conv3x3_2 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1x1_1(x))
        return torch.cat([F.relu(self.conv1x1_2(x)), F.relu(self.conv3x3_2(x))], 1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, 2)
        sizes = [(96, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128)]
        sizes += [(256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)]
        for i, size in enumerate(sizes, 2):
            self.add_module(f"fire{i}", Fire(*size))
        self.conv_final = nn.Conv2d(512, 1000, 1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 3, 2, ceil_mode=True)
        for i in range(2, 10):
            x = getattr(self, f"fire{i}")(x)
            if i in (4, 8):
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        return F.relu(self.conv_final(x)).mean((2, 3))


def squeezenet() -> nn.Module:
    """SqueezeNet 1.0 for ImageNet, for [n, 3, 227, 227] in BGR minus its means."""
    path = need("weights", "squeezenet", "squeezenet_v1.0_fp32_decoded.npz")
    with np.load(path, allow_pickle=False) as arrays:
        state = {name: torch.from_numpy(arrays[name].copy()) for name in arrays.files}
    model = SqueezeNet()
    model.load_state_dict(state)
    return model.eval()


def photographs(n: int) -> tuple[Tensor, list[str]]:
    """``n`` ImageNet photographs as SqueezeNet takes them, and their class names."""
    from PIL import Image

    folder = need("images", "imagenet")
    paths = sorted(folder.glob("*.JPEG"))[:n]
    batch = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)))
        left, top = (image.width - 227) // 2, (image.height - 227) // 2
        pixels = np.asarray(image.crop((left, top, left + 227, top + 227)), dtype=np.float32)
        bgr = pixels[..., ::-1] - np.array([104.0, 117.0, 123.0], dtype=np.float32)
        batch.append(torch.from_numpy(bgr.copy()).permute(2, 0, 1))
    return torch.stack(batch), [path.stem.split("_", 1)[1] for path in paths]


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions; a shortcut to another size drops pixels and pads channels."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.more = out // 4 if stride != 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        out += x
        return F.relu(out)


class ResNet20(nn.Module):
    """ResNet-20 for CIFAR-10."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(BasicBlock(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(
            BasicBlock(16, 32, 2), *(BasicBlock(32, 32, 1) for _ in range(2))
        )
        self.layer3 = nn.Sequential(
            BasicBlock(32, 64, 2), *(BasicBlock(64, 64, 1) for _ in range(2))
        )
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(F.avg_pool2d(x, x.size(3)).flatten(1))


def resnet20() -> nn.Module:
    """ResNet-20 for CIFAR-10, for [n, 3, 32, 32] normalised by ImageNet's statistics."""
    path = need("weights", "resnet20_cifar10", "resnet20-12fca82f.th")
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    model = ResNet20()
    model.load_state_dict({name.removeprefix("module."): t for name, t in state.items()})
    return model.eval()


def small_photographs(n: int) -> tuple[Tensor, Tensor]:
    """``n`` CIFAR-10 test images as ResNet-20 takes them, and their labels."""
    from PIL import Image

    path = need("images", "cifar10", "cifar10_test5k_jpeg.npz")
    with np.load(path, allow_pickle=False) as arrays:
        data, offsets, labels = arrays["data"], arrays["offsets"], arrays["labels"][:n]
        images = [
            np.asarray(Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]].tobytes())))
            for i in range(n)
        ]
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    return x, torch.from_numpy(labels.astype(np.int64))
