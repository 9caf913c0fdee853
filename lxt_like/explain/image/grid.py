"""The patches of an image model: found by watching a forward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError

MAX_CELLS = 1024
"""A finer stem (Swin, ConvNeXt) does not give the units that a person thinks in."""

MOST_EXTRA = 64
_CELLS = 14


@dataclass(frozen=True)
class Grid:
    """How an image is cut: ``rows`` x ``cols`` cells of ``cell`` (height, width) pixels.

    The last row and column take what is left over.  ``prefix``: how many tokens of a vision
    transformer stand before the patches (CLS, registers); ``tokens``: whether its tokens are these
    cells; ``reach``: the pixels that one cell needs, where that is another number than its own (a
    patch convolution whose kernel is wider than its stride, or which pads).
    """

    rows: int
    cols: int
    cell: tuple[int, int]
    prefix: int = 0
    tokens: bool = False
    reach: tuple[int, int] | None = None

    def on(self, height: int, width: int) -> Grid:
        """The same cells on an image of ``height`` x ``width`` pixels; every cell has some."""
        (down, right), (tall, wide) = self.cell, self.reach or self.cell
        rows, cols = (height - tall) // down + 1, (width - wide) // right + 1
        return replace(self, rows=max(1, rows), cols=max(1, cols))

    def index(self, height: int, width: int) -> Tensor:
        """The cell of each pixel, [height, width] long, counted row by row."""
        down = (torch.arange(height) // self.cell[0]).clamp_max(self.rows - 1)
        right = (torch.arange(width) // self.cell[1]).clamp_max(self.cols - 1)
        return down[:, None] * self.cols + right

    def sum(self, values: Tensor) -> Tensor:
        """Of ``values`` [..., H, W] the sum in each cell, [..., rows, cols]."""
        index = self.index(*values.shape[-2:]).flatten().to(values.device)
        flat = values.flatten(-2)
        total = flat.new_zeros((*flat.shape[:-1], self.rows * self.cols))
        total.index_add_(-1, index, flat)
        return total.reshape(*values.shape[:-2], self.rows, self.cols)


def given_grid(cell: Any, height: int, width: int) -> Grid:
    """Cells of the size that a caller gave: a side, or (height, width) in pixels."""
    both = (cell, cell) if isinstance(cell, int) else tuple(cell)
    if len(both) != 2 or not all(isinstance(s, int) and s >= 1 for s in both):
        raise InputError(f"cell is a side or (height, width) in pixels, got {cell!r}")
    if both[0] > height or both[1] > width:
        raise InputError(f"a cell of {both[0]} x {both[1]} does not fit {height} x {width} pixels")
    return Grid(height // both[0], width // both[1], (both[0], both[1]))


def find_grid(model: nn.Module, pixels: Tensor, run: Callable[[Tensor], Any]) -> Grid:
    """The patches of a vision transformer; of other models about 14 x 14 cells.

    A convolution that reads the pixels with a stride cuts patches, if later there are as many
    tokens of its width, perhaps with a few in front.

    Args:
        pixels: [1, 3, H, W]; ``run``: a forward with them.
    """
    watch = _Watch(pixels)
    handles = [m.register_forward_hook(partial(_seen, watch)) for m in model.modules()]
    try:
        with torch.no_grad():
            run(pixels)
    finally:
        for handle in handles:
            handle.remove()
    height, width = pixels.shape[-2:]
    found = watch.grid()
    if found is not None:
        return found
    cell = (max(1, round(height / _CELLS)), max(1, round(width / _CELLS)))
    return Grid(max(1, height // cell[0]), max(1, width // cell[1]), cell)


def _seen(watch: _Watch, module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
    watch.see(module, args, out)


class _Watch:
    """The patch convolution, and how many tokens there are of its width."""

    def __init__(self, pixels: Tensor) -> None:
        self.shape = pixels.shape
        self.conv: tuple[int, int, int, tuple[int, int], tuple[int, int]] | None = None
        self.counts: dict[int, int] = {}

    def see(self, module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
        if isinstance(module, nn.Conv2d) and args and self.conv is None:
            (down, right), kernel = module.stride, module.kernel_size
            reads = isinstance(args[0], Tensor) and args[0].shape == self.shape
            if reads and down > 1 and right > 1 and kernel[0] >= down and kernel[1] >= right:
                channels, rows, cols = out.shape[1:]
                self.conv = (channels, rows, cols, (int(down), int(right)), _reach(module))
            return
        if isinstance(out, tuple | list) and out:
            out = out[0]
        if self.conv is not None and isinstance(out, Tensor) and out.dim() == 3:
            channels, rows, cols, *_ = self.conv
            extra = out.shape[1] - rows * cols
            if out.shape[2] == channels and 0 <= extra <= MOST_EXTRA:
                self.counts[extra] = self.counts.get(extra, 0) + 1

    def grid(self) -> Grid | None:
        if self.conv is None or not self.counts:
            return None
        _, rows, cols, cell, reach = self.conv
        if rows * cols > MAX_CELLS or min(reach) < 1:
            return None
        return Grid(rows, cols, cell, max(self.counts), True, None if reach == cell else reach)


def _reach(conv: nn.Conv2d) -> tuple[int, int]:
    """The pixels that a convolution's first place needs, without its padding."""
    padding = (0, 0) if isinstance(conv.padding, str) else conv.padding  # "same" has no stride
    down, right = (
        spread * (kernel - 1) + 1 - 2 * edge
        for kernel, spread, edge in zip(conv.kernel_size, conv.dilation, padding, strict=True)
    )
    return down, right
