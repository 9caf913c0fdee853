"""timm: one small model of every family; each family is a file of timm.models.

timm imports torchvision for its data loaders.  Where torchvision is absent, or was built for
another torch, empty modules stand in: no model needs it.
"""

from __future__ import annotations

import enum
import importlib
import sys
import types
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from tests.models.zoo import randomised

_SMALL = "test_ atto femto pico nano xxs xx_small xsmall xs tiny mini 050 s0 b0 small 18 _s 26".split()


class _Interpolation(enum.Enum):
    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"
    NEAREST_EXACT = "nearest-exact"


class _Stub(types.ModuleType):
    __path__: list[str] = []
    InterpolationMode = _Interpolation

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


_STUBBED = "transforms transforms.functional transforms.transforms datasets ops ops.misc models"


def _torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("", *_STUBBED.split(), "models.feature_extraction"):
            full = f"torchvision.{name}".rstrip(".")
            sys.modules[full] = _Stub(full)
            parent, _, last = full.rpartition(".")
            if parent:
                setattr(sys.modules[parent], last, sys.modules[full])


@cache
def families() -> dict[str, str]:
    """Family -> the name of one of its smallest models; empty without timm."""
    try:
        _torchvision()
        import timm
    except ImportError:
        return {}
    found: dict[str, list[str]] = {}
    for name in timm.list_models():
        module = timm.models.model_entrypoint(name).__module__
        found.setdefault(module.rpartition(".")[2], []).append(name)
    return {family: _smallest(names) for family, names in sorted(found.items())}


def _smallest(names: list[str]) -> str:
    """Of the most modestly named, the one with the fewest parameters, counted without memory."""
    import timm

    counts: dict[str, int] = {}
    for name in sorted(names, key=_size)[:6]:
        with torch.device("meta"):
            try:
                model = timm.create_model(name, pretrained=False)
            except (RuntimeError, NotImplementedError, ValueError):  # computes while it is built
                continue
        counts[name] = sum(p.numel() for p in model.parameters())
    return min(counts, key=counts.__getitem__, default=min(names, key=_size))


def _size(name: str) -> tuple[int, int, str]:
    rank = next((i for i, word in enumerate(_SMALL) if word in name), len(_SMALL))
    return rank, len(name), name


def build(family: str, task: str) -> nn.Module:
    """A random model of the family with three classes."""
    import timm

    torch.manual_seed(0)
    return randomised(timm.create_model(families()[family], pretrained=False, num_classes=3))


def example(model: nn.Module) -> Tensor:
    """One image of the model's own size."""
    config: Any = model.pretrained_cfg
    shape = config.get("test_input_size") or config["input_size"]
    return torch.randn((1, *shape), generator=torch.Generator().manual_seed(1))
