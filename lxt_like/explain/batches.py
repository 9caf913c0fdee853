"""Rows of tokens through the model: grouped by length, padded where that is safe, in order."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, ModelError
from ..explanation import Account
from . import engine
from .encode import Encoding
from .heads import read_logits
from .loading import TextModel, input_device


@dataclass(frozen=True, slots=True)
class Row:
    """What the model reads at once: some tokens (``positions``) of the text ``item``."""

    item: int
    encoding: Encoding
    positions: list[int]


@dataclass(frozen=True, slots=True)
class RowResult:
    """One row explained: ``relevance`` per position of the row, ``logits`` [outputs]."""

    relevance: list[float]
    score: float
    logits: Tensor
    label: str
    index: int | None
    account: Account | None


@dataclass(frozen=True, slots=True)
class Options:
    """What the engine is asked for, the same for every row."""

    composite: Any
    ledger: bool
    strict: bool


class Runner:
    """Feeds rows to one model.

    Rows are padded on the right with the id that the model itself knows as padding.  Where
    padding could change a prediction only rows of one length share a batch: the model
    takes no attention mask, or its tokenizer pads on the left (a model that reads its answer
    off the last position, or counts positions from the first).  Without a padding id some
    models refuse batches, so every row goes alone.
    """

    def __init__(self, loaded: TextModel, batch_size: int) -> None:
        self.model = loaded.model
        self.device = input_device(loaded.model)
        self.names = accepted_inputs(loaded.model)
        config = getattr(loaded.model, "config", None)
        pad_id = getattr(config, "pad_token_id", None) if config is not None else None
        if config is None:
            pad_id = getattr(loaded.tokenizer, "pad_token_id", None)
        known = isinstance(pad_id, int) and pad_id >= 0
        self.pad_id = int(pad_id) if known and pad_id is not None else 0
        self.pad_type = int(getattr(loaded.tokenizer, "pad_token_type_id", 0) or 0)
        self.batch_size = batch_size if known else 1
        self.pads = (
            known
            and getattr(loaded.tokenizer, "padding_side", "right") == "right"
            and (self.names is None or "attention_mask" in self.names)
        )

    def batches(self, rows: Sequence[Row]) -> Iterator[list[int]]:
        """Indices into ``rows``, longest first, so that a batch that is too large fails at once."""
        order = sorted(range(len(rows)), key=_Length(rows), reverse=True)
        batch: list[int] = []
        for i in order:
            fits = self.pads or not batch or _length(rows[batch[0]]) == _length(rows[i])
            if batch and (len(batch) == self.batch_size or not fits):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def logits(self, rows: Sequence[Row]) -> Tensor:
        """The model's plain outputs [rows, outputs], without gradients."""
        with torch.no_grad():
            return read_logits(self.model(**self.inputs(rows)), len(rows)).detach()

    def explain(self, rows: Sequence[Row], target: object, options: Options) -> list[RowResult]:
        """One batch of rows; ``target`` holds one entry per row where it differs among them."""
        a = engine.attribute(
            self.model,
            self.inputs(rows),
            target=target,
            composite=options.composite,
            ledger=options.ledger,
            strict=options.strict,
        )
        logits = read_logits(a.output, len(rows)).detach().cpu()
        if isinstance(a.relevance, Mapping):
            raise ModelError(
                f"expected one sequence of tokens, got {', '.join(a.relevance)}: encoder-decoder "
                "classifiers read the text twice; use lxt.attribute for them"
            )
        relevance = a.relevance.detach().double().cpu()
        if relevance.shape != (len(rows), max(map(_length, rows))):
            raise ModelError(
                f"expected a relevance for each token, [{len(rows)}, {max(map(_length, rows))}], "
                f"got {list(relevance.shape)}: the model's input embeddings are not those of its "
                "tokens"
            )
        if any(bool(relevance[k, _length(row) :].any()) for k, row in enumerate(rows)):
            # the model reads its padding in spite of the mask: no padding, then
            alone = [select(target, [k], len(rows)) for k in range(len(rows))]
            return [self.explain([r], t, options)[0] for r, t in zip(rows, alone, strict=True)]
        scores = a.score.detach().double().cpu().tolist()
        results: list[RowResult] = []
        for k, row in enumerate(rows):
            label, index = a.target.describe(k)
            account = None if a.ledger is None else a.ledger.account(k)
            numbers = relevance[k, : _length(row)].tolist()
            results.append(RowResult(numbers, scores[k], logits[k], label, index, account))
        return results

    def inputs(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Keyword arguments of the model, each [rows, longest row]."""
        longest = max(map(_length, rows))
        columns: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": []}
        for row in rows:
            fill = longest - _length(row)
            ids = [row.encoding.ids[i] for i in row.positions]
            columns["input_ids"].append(ids + [self.pad_id] * fill)
            columns["attention_mask"].append([1] * len(ids) + [0] * fill)
            for name, values in row.encoding.extras.items():
                padding = self.pad_type if name == "token_type_ids" else 0
                columns.setdefault(name, []).append(
                    [values[i] for i in row.positions] + [padding] * fill
                )
        return {
            name: torch.tensor(column, device=self.device)
            for name, column in columns.items()
            if self.names is None or name in self.names
        }


def accepted_inputs(model: nn.Module) -> set[str] | None:
    """The inputs that a model's forward names; None if it takes whatever comes.

    Models of transformers name all their tensors and pass further keywords on to kernels, so
    for them only names count.
    """
    unwrap = getattr(model, "get_base_model", None)
    inner = unwrap() if callable(unwrap) else model
    parameters = inspect.signature(inner.forward).parameters
    catches_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if catches_all and getattr(inner, "config", None) is None:
        return None
    return set(parameters)


def select(target: Any, rows: Sequence[int], total: int) -> Any:
    """The part of a target that belongs to some of the samples.

    Args:
        target: as for :func:`lxt_like.attribute`; tensors and lists in it have one entry per
            sample.
        rows: the samples.
        total: how many samples the target was made for.

    Raises:
        InputError: a tensor or list in the target has another number of entries.
    """
    if isinstance(target, list | tuple) or (isinstance(target, Tensor) and target.ndim):
        if len(target) != total:
            raise InputError(
                f"expected a target for each of the {total} texts, got {len(target)} entries"
            )
        return target[list(rows)] if isinstance(target, Tensor) else [target[i] for i in rows]
    if dataclasses.is_dataclass(target) and not isinstance(target, type):
        changed = {
            f.name: select(getattr(target, f.name), rows, total)
            for f in dataclasses.fields(target)
            if f.init and isinstance(getattr(target, f.name), list | tuple | Tensor)
        }
        return dataclasses.replace(target, **changed) if changed else target
    return target


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """No dropout inside; every module's own training flag is as before afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _length(row: Row) -> int:
    return len(row.positions)


class _Length:
    """Sort key: the number of tokens of row ``i``."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __call__(self, i: int) -> int:
        return _length(self.rows[i])
