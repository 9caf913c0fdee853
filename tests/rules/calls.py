"""Counts calls of convolution and matrix-product kernels, and what they multiply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten
DENSE = (ATEN.mm.default, ATEN.addmm.default, ATEN.bmm.default, ATEN.mv.default, ATEN.dot.default)
DENSE = (*DENSE, ATEN.addmv.default, ATEN.baddbmm.default)


@dataclass
class Calls(TorchDispatchMode):
    """While active: forward and transposed convolutions, matrix products, multiply-adds of all.

    A kernel that computes nothing counts: it would be a call all the same.
    """

    forward: int = 0
    transposed: int = 0
    products: int = 0
    work: int = 0
    other: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] = {}
    ) -> Any:
        out = func(*args, **kwargs)
        if func is ATEN.convolution.default:
            self.forward += 1
            self.work += _work(args[0], args[1], out, bool(args[6]))
        elif func is ATEN.convolution_backward.default:
            g, x, w, mask = args[0], args[1], args[2], args[10]
            self.transposed += bool(mask[0])
            self.work += sum(mask[:2]) * _work(x, w, g, bool(args[7]))
        elif func in DENSE:
            self.products += 1
            a = args[1] if "add" in str(func) else args[0]
            self.work += out.numel() * a.shape[-1]
        elif "conv" in str(func):
            self.other.append(str(func))
        return out


def _work(x: Tensor, w: Tensor, z: Tensor, transposed: bool) -> int:
    """Multiply-adds of a convolution from x to z."""
    return (x if transposed else z).numel() * w[0].numel()
