"""Small convolutional networks in the styles people write, with random weights and statistics."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """conv-bn-relu twice and a shortcut, written in place; one ReLU module, used twice."""

    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.down: nn.Module = nn.Identity()
        if stride != 1 or into != out:
            self.down = nn.Sequential(
                nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.down(x)
        return self.relu(out)


class ResNet(nn.Module):
    """A stem, three stages, global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.stages = nn.Sequential(
            ResidualBlock(6, 6), ResidualBlock(6, 8, 2), ResidualBlock(8, 8)
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.pool(self.stem(x)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class DenseNet(nn.Module):
    """bn-relu-conv layers whose outputs are concatenated; a transition with average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4 + 3 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(4 + 3 * i, 3, 3, padding=1) for i in range(3))
        self.transition = nn.Sequential(
            nn.BatchNorm2d(13), nn.ReLU(), nn.Conv2d(13, 6, 1, bias=False), nn.AvgPool2d(2)
        )
        self.last = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)), inplace=True)))
        x = self.transition(torch.cat(features, 1))
        return self.head(F.relu(self.last(x)).mean((2, 3)))


class UNet(nn.Module):
    """Down, up by a transposed convolution and by interpolation, with skip concatenations."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")
        self.down = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(6, 6, 3, padding=2, dilation=2)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.merge = nn.Conv2d(8, 4, 3, padding="same")
        self.out = nn.Conv2d(10, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        top = torch.relu(self.enter(x))
        low = F.leaky_relu(self.down(top), 0.1)
        low = F.relu(self.deep(low)) + low
        merged = self.merge(torch.cat([self.up(low), top], 1)).relu_()
        wide = F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False)
        return self.out(torch.cat([merged, wide], 1)).mean((2, 3))


class EfficientBlock(nn.Module):
    """Expand, depthwise, squeeze-and-excite, project, with SiLU; a residual sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(
            nn.Conv2d(width, 3 * width, 1, bias=False), nn.BatchNorm2d(3 * width), nn.SiLU(True)
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(3 * width, 3 * width, 3, 1, 1, groups=3 * width, bias=False),
            nn.BatchNorm2d(3 * width),
            nn.SiLU(True),
        )
        self.squeeze = nn.Conv2d(3 * width, 2, 1)
        self.excite = nn.Conv2d(2, 3 * width, 1)
        self.project = nn.Sequential(
            nn.Conv2d(3 * width, width, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        scale = self.excite(F.silu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))).sigmoid()
        return self.project(scale * y) + x


class ConvNeXtBlock(nn.Module):
    """Depthwise 7 x 7, LayerNorm over channels last, an MLP with GELU, a layer scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.down(F.gelu(self.up(y)))
        return x + y.permute(0, 3, 1, 2)


def _between(*blocks: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 2, stride=2),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


class Shared(nn.Module):
    """One convolution and one ReLU module used twice; two inputs in one module."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 4, 3, padding=1)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.pair = Pair()
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.enter(x))
        once = self.relu(self.conv(x))
        twice = self.relu(self.conv(once))
        return self.head(self.pair(once, twice).amax((2, 3)))


class Pair(nn.Module):
    """A module of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.left(a) + self.right(b)


def lenet() -> nn.Module:
    """conv-relu-pool twice and a linear head."""
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AvgPool2d(2)),
        *(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5)),
    )


CNNS: dict[str, Callable[[], nn.Module]] = {
    "lenet": lenet,
    "resnet": ResNet,
    "densenet": DenseNet,
    "unet": UNet,
    "efficient": lambda: _between(EfficientBlock(4), EfficientBlock(4)),
    "convnext": lambda: _between(ConvNeXtBlock(4), ConvNeXtBlock(4)),
    "shared": Shared,
}


def build_cnn(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A network of :data:`CNNS` with random statistics, for inputs of shape [n, 3, 12, 12]."""
    torch.manual_seed(0)
    model = CNNS[name]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5).mul_(torch.randn_like(module.weight).sign())
            module.bias.data.normal_(0, 0.3)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return model.to(dtype).eval()
