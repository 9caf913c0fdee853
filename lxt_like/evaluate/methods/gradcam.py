"""Grad-CAM on the last block of a transformer, or the last feature map of a CNN."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...explain.batches import evaluation_mode
from ..blocks import find_blocks, hidden_of, with_hidden
from ..task import Batch, Task, pool_by
from .gradients import trimmed
from .types import Scores, UnsuitableError


@dataclass(frozen=True)
class GradCam:
    """sum_d mean_t(dy/dh_td) h_td over the tokens h that the last block reads.

    Its input rather than its output, of which a CLS model reads one token only.  For CNNs h is the
    last convolution's output, brought to the grid by bilinear interpolation.  The sign is kept,
    where the original cuts at zero for its pictures: ranks need it.

    Source: Selvaraju et al. 2017, arXiv:1610.02391.
    """

    module: nn.Module
    tokens: bool

    def __call__(self, task: Task, batch: Batch) -> list[Tensor]:
        found = []
        for i in range(len(batch)):
            one = trimmed(batch.select([i]))
            hidden = _Hidden()
            handle = (
                self.module.register_forward_pre_hook(partial(_entering, hidden), with_kwargs=True)
                if self.tokens
                else self.module.register_forward_hook(partial(_leaving, hidden))
            )
            try:
                with evaluation_mode(task.model), torch.inference_mode(False), torch.enable_grad():
                    inputs = {n: v.clone() for n, v in one.inputs.items()}
                    score = task.logits(inputs)[0, one.targets[0]]
                    (slope,) = torch.autograd.grad(score, [hidden.value])
            finally:
                handle.remove()
            found.append(self._map(task, one, hidden.value.detach()[0], slope[0]))
        return found

    def _map(self, task: Task, one: Batch, h: Tensor, slope: Tensor) -> Tensor:
        if not self.tokens:
            image: Any = task  # CNNs are image tasks
            grid = image.grid(one.inputs["pixels"])
            cam = (slope.mean((1, 2), keepdim=True) * h).sum(0)
            sized = F.interpolate(
                cam[None, None], (grid.rows, grid.cols), mode="bilinear", align_corners=False
            )
            return sized.flatten().float().cpu()
        front = task.prefix if task.kind == "image" else 0
        h, slope = h[front:], slope[front:]
        inside = one.member[0] >= 0
        # only what can be removed says how much each channel weighs
        weight = slope[inside].mean(0) if bool(inside.any()) else slope.mean(0)
        return pool_by(one.member, (h * weight).sum(-1)[None], one.units)[0]


class _Hidden:
    """A place for the tensor that a hook catches."""

    value: Tensor


def _entering(hidden: _Hidden, module: nn.Module, args: Any, kwargs: Any) -> Any:
    found = hidden_of(args, kwargs)
    if found is None:
        return None
    hidden.value = found.detach().requires_grad_()
    return with_hidden(args, kwargs, hidden.value)


def _leaving(hidden: _Hidden, module: nn.Module, args: Any, out: Tensor) -> Tensor:
    hidden.value = out.detach().requires_grad_()
    return hidden.value


def make_gradcam(task: Task, seed: int) -> Scores:
    """Where the last block, or the last convolution with a map, is."""
    probe = task.probe()
    if task.kind == "text" or task.tokens:
        blocks = find_blocks(
            task.model, partial(task.logits, probe.inputs), 1, int(probe.lengths[0])
        )
        if not blocks:
            raise UnsuitableError("no list of blocks takes all tokens in turn")
        made = GradCam(blocks[-1], True)
    else:
        made = GradCam(_last_map(task, probe), False)
    made(task, probe)
    return made


def _last_map(task: Task, probe: Batch) -> nn.Module:
    """The last convolution whose output is still a map."""
    ran: list[nn.Module] = []
    convs = [m for m in task.model.modules() if isinstance(m, nn.Conv2d)]
    handles = [m.register_forward_hook(partial(_map_of, ran)) for m in convs]
    try:
        with torch.no_grad():
            task.logits(probe.inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not ran:
        raise UnsuitableError("the model has no convolution with a feature map")
    return ran[-1]


def _map_of(ran: list[nn.Module], module: nn.Module, args: Any, out: Any) -> None:
    if isinstance(out, Tensor) and out.dim() == 4 and min(out.shape[-2:]) > 1:
        ran.append(module)
