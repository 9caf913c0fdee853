"""Where hidden states lie on the picture: maps, and tokens that form a grid, at any depth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import ModelError
from .blocks import hidden_of, run_hooked
from .maps import Maps, Returned, last_map

Kind = Literal["tokens", "first", "last"]


@dataclass(frozen=True)
class Layout:
    """How one sample's hidden states lie on its picture.

    Attributes:
        kind: ``"tokens"`` [1, front + rows * cols, channels], row by row; channels ``"first"``
            [1, channels, rows, cols]; channels ``"last"`` [1, rows, cols, channels].
        front: tokens that are no places.
    """

    kind: Kind
    front: int = 0

    def map(self, hidden: Tensor, height: int, width: int) -> Tensor | None:
        """[channels, rows, cols] of states [1, ...] of a picture; None: they are no grid of it."""
        if self.kind == "first":
            return hidden[0]
        if self.kind == "last":
            return hidden[0].permute(2, 0, 1)
        tokens = hidden[0, self.front :]
        grids = [(r, c) for r, c in grids_of(height, width) if r * c == len(tokens)]
        if not grids:
            return None
        rows, cols = min(grids, key=lambda g: abs(math.log(g[0] / g[1] / (height / width))))
        made: Tensor = tokens.T.reshape(-1, rows, cols)
        return made


@dataclass
class Place:
    """A block and what it read: its layout, its shape, and whether the answer has that shape."""

    module: nn.Module
    layout: Layout | None
    shape: tuple[int, ...]
    kept: bool = False

    @property
    def token_like(self) -> bool:
        """Whether it reads what a block of a transformer reads."""
        return self.layout is not None and self.layout.kind != "first"


def grids_of(height: int, width: int) -> set[tuple[int, int]]:
    """Rows and columns of all maps that a stride makes of a picture, at least two of each."""
    made = {
        (how(height / stride), how(width / stride))
        for stride in range(1, min(height, width) + 1)
        for how in (math.floor, math.ceil)
    }
    return {grid for grid in made if min(grid) > 1}


def layout_of(shape: torch.Size, height: int, width: int, prefix: int = 0) -> Layout | None:
    """The layout of states of this shape, with no, one or ``prefix`` tokens in front."""
    grids = grids_of(height, width)
    if len(shape) == 4:
        if tuple(shape[2:]) in grids:
            return Layout("first")
        return Layout("last") if tuple(shape[1:3]) in grids else None
    if len(shape) == 3:
        for front in dict.fromkeys((prefix, 0, 1)):
            if shape[1] - front in {rows * cols for rows, cols in grids}:
                return Layout("tokens", front)
    return None


def last_place(
    model: nn.Module, run: Callable[[Tensor], Tensor], pixels: Tensor, prefix: int
) -> tuple[Place | None, Returned | None]:
    """The last repeated block that reads tokens (or maps with the channels last) and keeps them.

    Blocks are modules of a list with modules of their own.  And the last feature map of
    convolutions, if any comes behind that block, or if there is none.

    Args:
        run: from one picture [1, channels, height, width] to the answer.
        prefix: tokens in front of the patches, where it is known.

    Raises:
        ModelError: what comes behind the block has other places, and which ones cannot be told.
    """
    order: list[Place | Returned] = []
    open_: list[Place] = []
    height, width = pixels.shape[-2:]
    look = partial(layout_of, height=height, width=width, prefix=prefix)
    maps, handles = Maps(), []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(partial(_conv, order, maps)))
        elif module is not model:
            handles.append(module.register_forward_hook(maps))
        if isinstance(module, nn.ModuleList | nn.Sequential):
            for child in module:
                if [*child.children()]:
                    enter, leave = partial(_enter, order, open_, look), partial(_leave, open_)
                    handles.append(child.register_forward_pre_hook(enter, with_kwargs=True))
                    handles.append(child.register_forward_hook(leave))
    leaf = pixels.detach().clone().requires_grad_()
    answer = run_hooked(partial(run, leaf), handles, graph=True)
    convs = [(i, m) for i, m in enumerate(order) if isinstance(m, Returned)]
    sizes: set[tuple[int, ...]] = {m.shape[2:] for _, m in convs}
    sizes |= grids_of(height, width)
    last = partial(last_map, sizes=sizes, answer=answer, pixels=leaf)
    places = [(i, p) for i, p in enumerate(order) if isinstance(p, Place) and p.token_like]
    kept = [(i, p) for i, p in places if p.kept]
    if not kept:
        return None, (last(maps.found) or convs[-1][1]) if convs else None
    at, place = kept[-1]
    inside = {*place.module.modules()}
    behind = [m for i, m in convs if i > at and m.module not in inside]
    if not behind and any(i > at and p.module not in inside for i, p in places):
        raise ModelError("the last blocks change the number of places: where they lie is not known")
    if not behind:
        return place, None
    return place, last(maps.found[maps.found.index(behind[0]) :]) or behind[-1]


def _conv(order: list[Any], maps: Maps, module: nn.Module, args: Any, out: Any) -> None:
    before = len(maps.found)
    maps(module, args, out)
    order += maps.found[before:]


def _enter(
    order: list[Any],
    open_: list[Place],
    look: Callable[[torch.Size], Layout | None],
    module: nn.Module,
    args: Any,
    kwargs: Any,
) -> None:
    hidden = hidden_of(args, kwargs, dims=(3, 4))
    layout = look(hidden.shape) if hidden is not None and len(hidden) == 1 else None
    made = Place(module, layout, () if hidden is None else tuple(hidden.shape))
    open_.append(made)
    order.append(made)


def _leave(open_: list[Place], module: nn.Module, args: Any, out: Any) -> None:
    made = open_.pop()
    first = out[0] if isinstance(out, tuple | list) and out else out
    made.kept = isinstance(first, Tensor) and tuple(first.shape) == made.shape
