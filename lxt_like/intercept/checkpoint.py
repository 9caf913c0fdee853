"""Gradient checkpointing: what is recomputed in the backward must meet the same rules.

The non-reentrant kind (``torch.utils.checkpoint.checkpoint(..., use_reentrant=False)``) keeps
the graph of the forward and recomputes the tensors it saved.  Without the rules it would save
other tensors, some of the same shape: a wrong relevance and no error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import PatchError

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def adopt(pack: Callable[..., Any], wrap: Wrap) -> None:
    """Have the checkpoint that packs what is saved, if it is one, recompute ``wrap(its function)``.

    Raises:
        PatchError: where this version of torch keeps that function out of reach.
    """
    if not getattr(pack, "__qualname__", "").startswith("_checkpoint_hook."):
        return
    cells = dict(zip(pack.__code__.co_freevars, pack.__closure__ or (), strict=True))
    frame: Any = cells["frame"].cell_contents if "frame" in cells else None
    if not hasattr(frame, "recompute_fn"):
        raise PatchError(
            "this version of torch hides what gradient checkpointing recomputes; switch "
            "it off to explain the model: activation_checkpointing_disable() of transformers"
        )
    frame.recompute_fn = wrap(frame.recompute_fn)
