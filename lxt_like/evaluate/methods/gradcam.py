"""Grad-CAM on what the last block of a transformer reads, or the last feature map of a CNN."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import LxtError, one_line
from ...explain.batches import evaluation_mode
from ..blocks import find_blocks, hidden_of, with_hidden
from ..places import Layout, last_place
from ..task import Batch, Task, pool_by
from .gradients import trimmed
from .types import Scores, UnsuitableError


@dataclass(frozen=True)
class GradCam:
    """sum_d mean_t(dy/dh_td) h_td over the places h that the last block reads.

    Its input rather than its output, of which a CLS model reads one token only.  For CNNs h is the
    last feature map, before it is pooled, that all behind it reads.  Where h has other places than
    the units (a CNN's map, the tokens of a hierarchical transformer's last stage) the sum is
    brought to them by bilinear interpolation.
    The sign is kept, where the original cuts at zero for its pictures: ranks need it.

    Source: Selvaraju et al. 2017, arXiv:1610.02391.

    Attributes:
        module: whose input (``reads``) or output h is.
        layout: of h on the picture; None: its positions are those of the batch.
        turn: the run of the module in a forward whose output is h, counted from 0.
    """

    module: nn.Module
    reads: bool
    layout: Layout | None
    turn: int = 0

    def __call__(self, task: Task, batch: Batch) -> list[Tensor]:
        found = []
        for i in range(len(batch)):
            one = trimmed(batch.select([i]))
            hidden = _Hidden(self.turn)
            handle = (
                self.module.register_forward_pre_hook(partial(_entering, hidden), with_kwargs=True)
                if self.reads
                else self.module.register_forward_hook(partial(_leaving, hidden))
            )
            try:
                with evaluation_mode(task.model), torch.inference_mode(False), torch.enable_grad():
                    inputs = {n: v.clone() for n, v in one.inputs.items()}
                    score = task.logits(inputs)[0, one.targets[0]]
                    if hidden.value is None:
                        raise UnsuitableError("the last block or feature map gave no hidden states")
                    (slope,) = torch.autograd.grad(score, [hidden.value])
            finally:
                handle.remove()
            found.append(self._map(task, one, hidden.value.detach(), slope))
        return found

    def _map(self, task: Task, one: Batch, h: Tensor, slope: Tensor) -> Tensor:
        if self.layout is not None:
            image: Any = task  # only pictures have a layout
            pixels = one.inputs["pixels"]
            maps = [self.layout.map(value, *pixels.shape[-2:]) for value in (h, slope)]
            if maps[0] is None or maps[1] is None:
                raise UnsuitableError(f"states of shape {tuple(h.shape)} are no grid of places")
            cam = (maps[1].mean((1, 2), keepdim=True) * maps[0]).sum(0)
            grid = image.grid(pixels)
            size = (grid.rows, grid.cols)
            sized = F.interpolate(cam[None, None], size, mode="bilinear", align_corners=False)
            return sized.flatten().float().cpu()
        front = task.prefix if task.kind == "image" else 0
        h, slope = h[0, front:], slope[0, front:]
        inside = one.member[0] >= 0
        # only what can be removed says how much each channel weighs
        weight = slope[inside].mean(0) if bool(inside.any()) else slope.mean(0)
        return pool_by(one.member, (h * weight).sum(-1)[None], one.units)[0]


class _Hidden:
    """A place for the tensor that a hook catches."""

    def __init__(self, turn: int) -> None:
        self.left = turn
        self.value: Tensor | None = None


def _entering(hidden: _Hidden, module: nn.Module, args: Any, kwargs: Any) -> Any:
    found = hidden_of(args, kwargs, dims=(3, 4))
    if found is None:
        return None
    hidden.value = found.detach().requires_grad_()
    # a copy, since what follows may write into it, which a leaf forbids
    return with_hidden(args, kwargs, hidden.value.clone())


def _leaving(hidden: _Hidden, module: nn.Module, args: Any, out: Tensor) -> Tensor | None:
    hidden.left -= 1
    if hidden.left != -1:
        return None
    hidden.value = out.detach().requires_grad_()
    return hidden.value.clone()


def make_gradcam(task: Task, seed: int) -> Scores:
    """Where the last block, or the last feature map, is."""
    probe = task.probe()
    try:
        made = _made(task, probe)
        made(task, probe)
    except (LxtError, RuntimeError) as error:
        raise UnsuitableError(one_line(error)) from error
    return made


def _answer(task: Task, pixels: Tensor) -> Tensor:
    return task.logits({"pixels": pixels})


def _made(task: Task, probe: Batch) -> GradCam:
    run = partial(task.logits, probe.inputs)
    tokens = int(probe.lengths[0])
    blocks: list[nn.Module] = []
    if task.kind == "text" or task.tokens:
        blocks = find_blocks(task.model, run, 1, tokens)
    if task.kind == "image":
        place, found = last_place(
            task.model, partial(_answer, task), probe.inputs["pixels"], task.prefix
        )
        plain = place is None or place.shape[:2] == (1, tokens)
        if found is not None and not (place is None and blocks):
            return GradCam(found.module, False, Layout("first"), found.turn)
        if place is not None and not (blocks and plain):
            return GradCam(place.module, True, place.layout)
    if blocks:
        return GradCam(blocks[-1], True, None)
    if task.kind == "image" and not task.tokens:
        raise UnsuitableError("the model has no convolution with a feature map, no block of places")
    raise UnsuitableError("no list of blocks takes all tokens in turn")
