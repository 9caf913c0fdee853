"""Removing words: zero embeddings, mask tokens, attention masks, shorter texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ModelError
from ...patch.embedded import Layout, layout_of, shifted, word_tables
from ..task import Batch, Operator, take
from .probe import probe_of

if TYPE_CHECKING:
    from ..text import TextTask


def text_operators(task: TextTask, text: str) -> tuple[dict[str, Operator], dict[str, str]]:
    """The operators that ``task`` supports by name, and the others with the reason.

    Each is tried on ``text`` first: what is removed may not be read any more.

    Source: the embeddings of removed words set to zero as in Achtibat et al. 2024; erasure as in
    DeYoung et al. 2020 (ERASER).
    """
    found: dict[str, Operator] = {}
    refused: dict[str, str] = {}
    probe = probe_of(task, text)
    for name, made in _candidates(task).items():
        if isinstance(made, str):
            refused[name] = made
            continue
        for operator in made:
            fault = None if probe is None else probe.fault(operator)
            if fault is None:
                found[name] = operator
                break
            refused.setdefault(name, fault)
    return found, {name: why for name, why in refused.items() if name not in found}


def _candidates(task: TextTask) -> dict[str, list[Operator] | str]:
    """By name the ways to do it, the first that works is taken; or why there is none."""
    equal = not task.pads
    made: dict[str, list[Operator] | str] = {}
    tables = word_tables(task.model)
    made["zero"] = [ZeroEmbedding(tables, equal)] if tables else "the model names no embedding"
    mask_id = getattr(task.tokenizer, "mask_token_id", None)
    if mask_id is None:
        made["mask"] = "the tokenizer has no mask token"
    elif tables and mask_id >= _rows(tables[0], mask_id):
        made["mask"] = "the model has no embedding for the tokenizer's mask token"
    else:
        made["mask"] = [Replaced(int(mask_id), equal)]
    names, fixed = task.runner.names, _adds_special(task.tokenizer)
    if names is not None and "attention_mask" not in names:
        made["drop"] = "the model takes no attention mask"
    elif not fixed:
        made["drop"] = "the tokenizer adds no special token: nothing would be left to attend to"
    else:
        blank = [task.runner.pad_id] if task.runner.knows_padding else []
        decodes = names is not None and "decoder_attention_mask" in names
        made["drop"] = [Unattended(equal), *(Unattended(equal, pad, decodes) for pad in blank)]
    alone = _alone(task.tokenizer)
    if not fixed and alone is None:
        made["delete"] = "nothing would be left: the tokenizer has no special token at all"
    else:
        made["delete"] = [Deleted(alone, equal)]
    return made


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
    """The word's embedding is zero; its position stays.

    A decoder that reads the text again, one place on, reads the zero there, too.

    Args:
        tables: all modules that may embed the words.
    """

    name = "zero"

    def __init__(self, tables: Sequence[nn.Module], equal: bool) -> None:
        super().__init__(equal)
        self.tables = tables
        self._time_first = False

    def changed(self, task: Any, inputs: dict[str, Tensor], gone: Tensor) -> Tensor:
        seen: list[Layout] = []
        hook = partial(self._zeroed, inputs["input_ids"], gone, seen)
        handles = [t.register_forward_hook(hook, with_kwargs=True) for t in self.tables]
        try:
            out: Tensor = task.logits(inputs)
        finally:
            for handle in handles:
                handle.remove()
        if not seen:
            raise ModelError("no input embedding took the tokens as they are")
        return out

    def _zeroed(
        self,
        given: Tensor,
        gone: Tensor,
        seen: list[Layout],
        module: nn.Module,
        args: Any,
        kwargs: Any,
        out: Any,
    ) -> Any:
        ids = args[0] if args else kwargs.get("input", kwargs.get("input_ids"))
        if not (isinstance(ids, Tensor) and isinstance(out, Tensor)):
            return out
        layout = layout_of(ids, given) or shifted(ids, given)
        if layout is None or out.shape[:-1] != ids.shape:
            return out
        if layout.told:
            self._time_first = layout.transposed
        elif self._time_first:  # equal with the axes exchanged: as the model always has it
            layout = Layout(transposed=True)
        seen.append(layout)
        return out.masked_fill(layout.put(gone, ids.shape).to(out.device)[..., None], 0.0)


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
    """Nothing attends to the word's tokens any more; the others keep their positions.

    Args:
        blank: what these tokens become; None: they stay.  Padding, for a model that reads its
            answer at the last token, whatever the mask says.
        decodes: the model's decoder reads the text again, and takes a mask of its own.
    """

    name = "drop"

    def __init__(self, equal: bool, blank: int | None = None, decodes: bool = False) -> None:
        super().__init__(equal)
        self.blank, self.decodes = blank, decodes

    def changed(self, task: Any, inputs: dict[str, Tensor], gone: Tensor) -> Tensor:
        mask = inputs["attention_mask"].masked_fill(gone, 0)
        inputs = {**inputs, "attention_mask": mask}
        if self.blank is not None:
            inputs["input_ids"] = inputs["input_ids"].masked_fill(gone, self.blank)
        if self.decodes:  # behind its start token
            inputs["decoder_attention_mask"] = F.pad(mask[:, :-1], (1, 0), value=1)
        out: Tensor = task.logits(inputs)
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
