"""From one sequence's explanation to a batch's: strip the padding, explain, put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypedDict

import numpy as np

from tests.oracles.arrays import Array, Composite, array
from tests.oracles.steps import Books


class Account(TypedDict):
    """An explanation of a batch and everything it has to add up to; all float64 numpy.

    embeddings: [batch, tokens, hidden], relevance at the output of the word embedding.
    score: [batch]. logits: [batch, classes or vocabulary], by the oracle's own forward.
    entries: cause -> [batch]; "bias" is all biases, LayerNorm shifts included.
    biases: bias parameter's name -> [batch]; sums to entries["bias"].
    layers: layer's module name -> [batch, tokens, hidden], relevance at the layer's input.
    Padding tokens have relevance 0.
    """

    embeddings: Array
    score: Array
    logits: Array
    entries: dict[str, Array]
    biases: dict[str, Array]
    layers: dict[str, Array]


class Oracle(Protocol):
    """Explains a batch of a Hugging Face model."""

    def __call__(
        self, model: Any, inputs: Mapping[str, Any], target: Any, composite: Composite = "attnlrp"
    ) -> Account: ...


# (input_ids, position_ids, token_type_ids, target, books) of one unpadded sequence
# -> relevance at the word embeddings, logits
Explain = Callable[[Array, Array, Array, int, Books], tuple[Array, Array]]


def explain_rows(inputs: Mapping[str, Any], target: Any, explain: Explain) -> Account:
    """Explain each row of a batch on its own, without its padding.

    Args:
        inputs: input_ids, attention_mask (none: all real), position_ids (none: the index in the
            padded row, as Hugging Face counts), token_type_ids (none: 0).
        target: class or token index, one or one per row.
    """
    ids = array(inputs["input_ids"]).astype(int)
    mask = array(inputs.get("attention_mask", np.ones_like(ids))).astype(bool)
    positions = array(inputs.get("position_ids", np.arange(ids.shape[1])[None])).astype(int)
    types = array(inputs.get("token_type_ids", np.zeros_like(ids))).astype(int)
    positions, types = np.broadcast_to(positions, ids.shape), np.broadcast_to(types, ids.shape)
    targets = np.broadcast_to(array(target).astype(int), ids.shape[:1])

    rows = []
    for row, real in enumerate(mask):
        books = Books()
        R, logits = explain(
            ids[row][real], positions[row][real], types[row][real], int(targets[row]), books
        )
        rows.append((real, R, logits, books))

    def padded(parts: list[Array]) -> Array:
        out = np.zeros((*ids.shape, parts[0].shape[-1]))
        for row, part in enumerate(parts):
            out[row][mask[row]] = part
        return out

    books_of = [books for *_, books in rows]
    return Account(
        embeddings=padded([R for _, R, _, _ in rows]),
        score=np.array([logits[t] for (_, _, logits, _), t in zip(rows, targets, strict=True)]),
        logits=np.stack([logits for _, _, logits, _ in rows]),
        entries=_stack([books.entries for books in books_of]),
        biases=_stack([books.biases for books in books_of]),
        layers={
            name: padded([books.layers[name] for books in books_of]) for name in books_of[0].layers
        },
    )


def weights_of(model: Any) -> dict[str, Array]:
    """The model's parameters by name, in float64."""
    return {name: array(tensor) for name, tensor in model.state_dict().items()}


def _stack(rows: list[Any]) -> dict[str, Array]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
