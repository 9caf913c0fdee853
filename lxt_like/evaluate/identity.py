"""Fingerprints: whether two runs were of the same model and the same preparation."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn


def fingerprint(model: nn.Module, rest: Any) -> str:
    """16 hexadecimal digits of all weights and buffers and of ``repr(rest)``."""
    made = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        made.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        made.update(_bytes(tensor))
    made.update(type(model).__qualname__.encode())
    made.update(repr(rest).encode("utf-8", "surrogatepass"))
    return made.hexdigest()[:16]


def _bytes(tensor: Any) -> bytes:
    if not isinstance(tensor, Tensor):  # extra state of a module
        return repr(tensor).encode()
    flat = tensor.detach().cpu().contiguous().flatten()
    # numpy knows no bfloat16; bytes are bytes
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
