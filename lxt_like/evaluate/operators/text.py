"""Removing words: zero embeddings, mask tokens, attention masks, shorter texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...errors import ModelError
from ...patch.embedded import input_embedding
from ..task import Batch, Operator, take

if TYPE_CHECKING:
    from ..text import TextTask


def text_operators(task: TextTask) -> tuple[dict[str, Operator], dict[str, str]]:
    """The operators that ``task`` supports by name, and the others with the reason.

    Source: the embeddings of removed words set to zero as in Achtibat et al. 2024; erasure as in
    DeYoung et al. 2020 (ERASER).
    """
    found: dict[str, Operator] = {}
    refused: dict[str, str] = {}
    embedding = input_embedding(task.model)
    if embedding is None:
        refused["zero"] = "the model names no input embedding"
    else:
        found["zero"] = ZeroEmbedding(embedding, not task.pads)
    mask_id = getattr(task.tokenizer, "mask_token_id", None)
    if mask_id is None:
        refused["mask"] = "the tokenizer has no mask token"
    elif embedding is not None and mask_id >= _rows(embedding, mask_id):
        refused["mask"] = "the model has no embedding for the tokenizer's mask token"
    else:
        found["mask"] = Replaced(int(mask_id), not task.pads)
    names = task.runner.names
    fixed = _adds_special(task.tokenizer)
    if names is not None and "attention_mask" not in names:
        refused["drop"] = "the model takes no attention mask"
    elif not fixed:
        refused["drop"] = "the tokenizer adds no special token: nothing would be left to attend to"
    else:
        found["drop"] = Unattended(not task.pads)
    alone = _alone(task.tokenizer)
    if not fixed and alone is None:
        refused["delete"] = "nothing would be left: the tokenizer has no special token at all"
    else:
        found["delete"] = Deleted(alone, not task.pads)
    return found, refused


def _rows(embedding: nn.Module, least: int) -> int:
    return int(getattr(embedding, "num_embeddings", least + 1))


def _adds_special(tokenizer: Any) -> bool:
    return bool(
        tokenizer("a")["input_ids"] != tokenizer("a", add_special_tokens=False)["input_ids"]
    )


def _alone(tokenizer: Any) -> int | None:
    for name in ("bos_token_id", "eos_token_id", "cls_token_id", "pad_token_id"):
        found = getattr(tokenizer, name, None)
        if found is not None:
            return int(found)
    return None


class _InPlace(ABC):
    """An operator that leaves every token's position as it is."""

    name = ""

    def __init__(self, equal: bool) -> None:
        self.equal = equal

    def lengths(self, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        return batch.lengths[samples]

    def logits(self, task: Any, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        longest = int(batch.lengths[samples].max())
        inputs = {n: v[:, :longest] for n, v in take(batch, samples).items()}
        return self.changed(task, inputs, gone[:, :longest])

    @abstractmethod
    def changed(self, task: Any, inputs: dict[str, Tensor], gone: Tensor) -> Tensor:
        """The logits where the positions in ``gone`` are taken out of ``inputs``."""


class ZeroEmbedding(_InPlace):
    """The word's embedding is zero; its position stays."""

    name = "zero"

    def __init__(self, embedding: nn.Module, equal: bool) -> None:
        super().__init__(equal)
        self.embedding = embedding

    def changed(self, task: Any, inputs: dict[str, Tensor], gone: Tensor) -> Tensor:
        seen: list[bool] = []
        handle = self.embedding.register_forward_hook(partial(_zeroed, gone, seen))
        try:
            out: Tensor = task.logits(inputs)
        finally:
            handle.remove()
        if not seen:
            raise ModelError("the input embedding gave nothing of the tokens' shape to set to zero")
        return out


def _zeroed(gone: Tensor, seen: list[bool], module: nn.Module, args: Any, out: Any) -> Any:
    if not (isinstance(out, Tensor) and out.shape[:2] == gone.shape):
        return out
    seen.append(True)
    return out.masked_fill(gone[..., None], 0.0)


class Replaced(_InPlace):
    """Every token of the word becomes the mask token."""

    name = "mask"

    def __init__(self, token: int, equal: bool) -> None:
        super().__init__(equal)
        self.token = token

    def changed(self, task: Any, inputs: dict[str, Tensor], gone: Tensor) -> Tensor:
        ids = inputs["input_ids"].masked_fill(gone, self.token)
        out: Tensor = task.logits({**inputs, "input_ids": ids})
        return out


class Unattended(_InPlace):
    """Nothing attends to the word's tokens any more; the others keep their positions."""

    name = "drop"

    def changed(self, task: Any, inputs: dict[str, Tensor], gone: Tensor) -> Tensor:
        mask = inputs["attention_mask"].masked_fill(gone, 0)
        out: Tensor = task.logits({**inputs, "attention_mask": mask})
        return out


class Deleted:
    """The word's tokens are taken out and the others move up.

    The tokens of the rest stay as they are: nothing is decoded and tokenized again.  Where no
    token would be left, ``alone`` stands for the empty text.
    """

    name = "delete"

    def __init__(self, alone: int | None, equal: bool) -> None:
        self.alone, self.equal = alone, equal

    def lengths(self, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        return (self._kept(batch, samples, gone)).sum(1).clamp_min(1)

    def logits(self, task: Any, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        kept = self._kept(batch, samples, gone)
        left = kept.sum(1)
        longest = max(1, int(left.max()))
        # a stable sort brings what is kept to the front, in order
        order = torch.argsort(~kept, dim=1, stable=True)[:, :longest]
        places = torch.arange(longest, device=kept.device)
        behind = places[None] >= left[:, None].clamp_min(1)
        inputs = {}
        for name, value in take(batch, samples).items():
            padding = _padding(task, name)
            inputs[name] = value.gather(1, order).masked_fill(behind, padding)
        if self.alone is not None:
            empty = left == 0
            inputs["input_ids"][empty, 0] = self.alone
            if "attention_mask" in inputs:
                inputs["attention_mask"][empty, 0] = 1
        out: Tensor = task.logits(inputs)
        return out

    def _kept(self, batch: Batch, samples: Tensor, gone: Tensor) -> Tensor:
        places = torch.arange(gone.shape[1], device=gone.device)
        return ~gone & (places[None] < batch.lengths[samples][:, None])


def _padding(task: Any, name: str) -> int:
    if name == "input_ids":
        return int(task.runner.pad_id)
    return int(task.runner.pad_type) if name == "token_type_ids" else 0
