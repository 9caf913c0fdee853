"""Rows of tokens through the model: grouped by length, padded where that is safe, in order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..targets import select
from . import engine
from .heads import read_logits
from .loading import TextModel, input_device
from .padding import reached, same_predictions
from .rows import Found, Row, RowResult

Finder = Callable[[Any, Any, Mapping[str, Tensor], Sequence[Row]], list[Found]]
"""From an attribution, its target, the inputs and their rows to what was explained."""


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
    takes no attention mask, reads its padding in spite of one (convolutions over tokens), or
    its tokenizer pads on the left (a model that reads its answer off the last position, or
    counts positions from the first).  Without a padding id some models refuse batches, so every
    row goes alone.
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
        self.knows_padding = known
        self.batch_size = batch_size if known else 1
        self.pads = (
            known
            and getattr(loaded.tokenizer, "padding_side", "right") == "right"
            and (self.names is None or "attention_mask" in self.names)
        )
        self._tried = False

    def try_padding(self, rows: Sequence[Row]) -> None:
        """Do without padding if it changes what the model predicts for the shortest of ``rows``.

        Two forwards of one row, once; the model is in evaluation mode.
        """
        short, long = (pick(rows, key=_positions) for pick in (min, max))
        if self._tried or not self.pads or self.batch_size < 2 or short.shape == long.shape:
            return
        self._tried = True
        padded = {name: t[:1] for name, t in self.inputs([short, long]).items()}
        try:
            with torch.no_grad():
                outputs = self.model(**padded), self.model(**self.inputs([short]))
        except (IndexError, RuntimeError, ValueError):
            return  # the engine finds the cause
        self.pads = same_predictions(*outputs)

    def batches(self, rows: Sequence[Row]) -> Iterator[list[int]]:
        """Indices into ``rows``, longest first, so that a batch that is too large fails at once."""
        if rows:
            self.try_padding(rows)
        order = sorted(range(len(rows)), key=_Length(rows), reverse=True)
        batch: list[int] = []
        for i in order:
            fits = self.pads or not batch or rows[batch[0]].shape == rows[i].shape
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

    def explain(
        self, rows: Sequence[Row], target: object, options: Options, find: Finder
    ) -> list[RowResult]:
        """One batch of rows; ``target`` holds one entry per row where it differs among them."""
        inputs = self.inputs(rows)
        a = engine.attribute(
            self.model,
            inputs,
            target=target,
            composite=options.composite,
            ledger=options.ledger,
            strict=options.strict,
        )
        if a.ledger is not None and a.ledger.backwards > len(rows):
            self.batch_size = 1  # of what is still to come
        found = find(a, target, inputs, rows)
        shares = _shares(a.relevance, rows)
        if self.pads and len(rows) > 1 and reached(a.gradient, _lengths(rows)):
            # the model reads its padding in spite of the mask: no padding, then
            alone = [select(target, [k], len(rows)) for k in range(len(rows))]
            pairs = zip(rows, alone, strict=True)
            return [self.explain([r], t, options, find)[0] for r, t in pairs]
        scores = a.score.detach().double().cpu().tolist()
        accounts = [None if a.ledger is None else a.ledger.account(k) for k in range(len(rows))]
        return [RowResult(*each) for each in zip(shares, scores, found, accounts, strict=True)]

    def inputs(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Keyword arguments of the model, each [rows, longest row]."""
        columns: dict[str, list[list[int]]] = {}
        extras = dict.fromkeys(name for row in rows for name in row.encoding.extras)
        prefixed = rows[0].encoding.decoder is not None
        longest, longest_prefix = (max(row.shape[k] for row in rows) for k in (0, 1))
        for row in rows:
            read = {"input_ids": [row.encoding.ids[i] for i in row.source]}
            read["attention_mask"] = [1] * len(row.source)
            read |= {n: [row.encoding.extras[n][i] for i in row.source] for n in extras}
            for name, values in read.items():
                columns.setdefault(name, []).append(self._filled(name, values, longest))
            if prefixed:
                ids = [row.encoding.ids[i] for i in row.prefix]
                for name, values in (
                    ("decoder_input_ids", ids),
                    ("decoder_attention_mask", [1] * len(ids)),
                ):
                    columns.setdefault(name, []).append(self._filled(name, values, longest_prefix))
        if all(row.shape[1] == longest_prefix for row in rows):
            columns.pop("decoder_attention_mask", None)
        return {
            name: torch.tensor(column, device=self.device)
            for name, column in columns.items()
            if self.names is None or name in self.names
        }

    def _filled(self, name: str, values: list[int], length: int) -> list[int]:
        padding = 0
        if name.endswith("input_ids"):
            padding = self.pad_id
        elif name == "token_type_ids":
            padding = self.pad_type
        return values + [padding] * (length - len(values))


def _lengths(rows: Sequence[Row]) -> dict[str, list[int]]:
    """How many real tokens each row has, by the name of the input that they go into."""
    names = ("input_ids", "decoder_input_ids")[: 1 + (rows[0].encoding.decoder is not None)]
    return {name: [row.shape[k] for row in rows] for k, name in enumerate(names)}


def _shares(relevance: Any, rows: Sequence[Row]) -> list[list[float]]:
    """The relevance of each row's positions."""
    lengths = _lengths(rows)
    parts = relevance if isinstance(relevance, Mapping) else {"input_ids": relevance}
    if set(parts) != set(lengths):
        wanted = (
            "a source and the beginning of an output"
            if len(lengths) > 1
            else "one sequence of tokens"
        )
        raise ModelError(
            f"expected {wanted}, got relevance for {', '.join(parts)}: use lxt.attribute for "
            "other models of several inputs"
        )
    shares: list[list[float]] = [[] for _ in rows]
    for name, real in lengths.items():
        numbers = parts[name].detach().double().cpu()
        shape = (len(rows), max(real))
        if numbers.shape != shape:
            raise ModelError(
                f"expected a relevance for each token, {list(shape)}, got {list(numbers.shape)}: "
                "the model's input embeddings are not those of its tokens"
            )
        for share, length, own in zip(shares, real, numbers, strict=True):
            share += own[:length].tolist()
    return shares


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


def _positions(row: Row) -> int:
    return len(row.positions)


class _Length:
    """Sort key: the number of tokens of row ``i``."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __call__(self, i: int) -> int:
        return len(self.rows[i].positions)
