"""The memory that a piece of work takes at its peak, beyond what was there before."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def peak_megabytes(work: Callable[[], Any], device: torch.device) -> float:
    """Run ``work`` and return its peak of tensor memory in megabytes (10^6 bytes).

    On CUDA as the allocator counts it; elsewhere the storages that PyTorch operations made and
    that were alive at once, which leaves out what kernels use inside.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return float(torch.cuda.max_memory_allocated(device) - before) / 1e6
    meter = _Meter()
    with meter:
        work()
    return meter.peak / 1e6


class _Meter(TorchDispatchMode):
    """Adds up the storages of results while they live."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.now = 0
        self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {_storage(t)._cdata for t in _tensors((args, kwargs))}
        for tensor in _tensors(result):
            storage = _storage(tensor)
            if storage._cdata not in known:  # else a view, or written in place
                self._count(storage)
        return result

    def _count(self, storage: Any) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)

        def gone(_: Any) -> None:
            self.now -= size
            self._seen.pop(key, None)

        self._seen[key] = weakref.ref(storage, gone)


def _storage(tensor: Tensor) -> Any:
    return tensor.untyped_storage()


def _tensors(value: Any) -> list[Tensor]:
    from torch.utils._pytree import tree_leaves

    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
