"""Removing patches as tokens: the transformer reads fewer of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..blocks import find_blocks, hidden_of, with_hidden
from ..task import Batch, take

if TYPE_CHECKING:
    from ..image import ImageTask


class Dropped:
    """The patches' tokens are left out before the first block; the others keep their positions.

    In-distribution for models trained on token subsets, and cheaper: k tokens less to compute.

    Args:
        block: the first block, whose input is all tokens with their positions added.
        prefix: tokens in front (CLS, registers), which stay.
    """

    name = "drop"
    equal = True

    def __init__(self, block: nn.Module, prefix: int) -> None:
        self.block, self.prefix = block, prefix

    def lengths(self, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        return self.prefix + (~gone).sum(1)

    def logits(self, task: Any, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        left = int((~gone[0]).sum())
        patches = torch.argsort(gone.to(torch.uint8), dim=1, stable=True)[:, :left]
        front = torch.arange(self.prefix, device=gone.device).expand(len(gone), -1)
        at = torch.cat([front, patches + self.prefix], 1)
        out: Tensor = self.with_tokens(task, take(batch, samples)["pixels"], at)
        return out

    def with_tokens(self, task: Any, pixels: Tensor, at: Tensor) -> Tensor:
        """The logits where the first block gets the tokens ``at`` [n, kept], in that order."""
        handle = self.block.register_forward_pre_hook(partial(_chosen, at), with_kwargs=True)
        try:
            out: Tensor = task.logits({"pixels": pixels})
        finally:
            handle.remove()
        return out


def _chosen(at: Tensor, module: nn.Module, args: Any, kwargs: Any) -> Any:
    hidden = hidden_of(args, kwargs)
    if hidden is None:
        raise ValueError("the first block takes no tokens")
    index = at.to(hidden.device)[..., None].expand(-1, -1, hidden.shape[-1])
    return with_hidden(args, kwargs, hidden.gather(1, index))


def token_dropping(task: ImageTask) -> Dropped | str:
    """The operator, or the reason why this model has none.

    The patches behind the first block must be a set: shuffling them there may change nothing,
    which shows that all positions have been added before.  And a model that has nothing but patches
    must answer without any, which is where every curve ends.
    """
    cells = task.image.cells
    if not cells.tokens:
        return "the model's tokens are not the patches of the grid"
    pixels = task.noise(2)
    grid = task.grid(pixels)
    count = grid.rows * grid.cols
    run = partial(task.logits, {"pixels": pixels})
    blocks = find_blocks(task.model, run, 2, cells.prefix + count)
    if not blocks:
        return "no list of blocks takes all tokens in turn"
    made = Dropped(blocks[0], cells.prefix)
    generator = torch.Generator().manual_seed(0)
    shuffled = torch.randperm(count, generator=generator) + cells.prefix
    front = torch.arange(cells.prefix)
    try:
        with torch.inference_mode():
            clean = task.logits({"pixels": pixels})
            mixed = made.with_tokens(task, pixels, torch.cat([front, shuffled]).expand(2, -1))
            fewer = torch.cat([front, shuffled[: max(1, count // 2)].sort().values])
            less = [made.with_tokens(task, pixels, at.expand(2, -1)) for at in (fewer, front)]
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
        # positions inside the blocks (relative, rotary) do not fit fewer tokens
        return f"the blocks need all tokens ({' '.join(str(error).split())[:120]})"
    spread = float((clean - clean.mean()).abs().max())
    if not torch.allclose(clean, mixed, rtol=0, atol=1e-3 * max(spread, 1e-6)):
        return "the blocks know where each token stands, so none can be left out"
    for some, logits in zip(("fewer tokens", "no patch left"), less, strict=True):
        if logits.shape != clean.shape or not bool(torch.isfinite(logits).all()):
            return f"with {some} the model gives no logits"
    return made
