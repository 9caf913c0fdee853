"""A small model with a gradient checkpoint."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.support import draw


class Net(nn.Module):
    """A checkpointed block of modules, by torch's own function or by transformers' attribute."""

    def __init__(self, reentrant: bool | None, transformers: bool = False) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 6))
        self.head = nn.Linear(6, 3)
        self.reentrant = reentrant
        if transformers:
            self._gradient_checkpointing_func = checkpoint

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant is None:
            return self.head(self.block(x))
        run = getattr(self, "_gradient_checkpointing_func", checkpoint)
        return self.head(run(self.block, x, use_reentrant=self.reentrant))


def net(reentrant: bool | None, transformers: bool = False) -> Any:
    return draw(Net(reentrant, transformers)).double()
