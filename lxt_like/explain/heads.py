"""Which head a model has, and what a classification head's outputs mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from torch import Tensor

from ..classes import Kind as Kind
from ..classes import said_kind
from ..errors import ModelError, TargetError

Head = Literal["classes", "tags", "answers", "filling", "language"]

AUTO_CLASSES: dict[str, Head] = {
    "AutoModelForSequenceClassification": "classes",
    "AutoModelForTokenClassification": "tags",
    "AutoModelForQuestionAnswering": "answers",
    "AutoModelForMaskedLM": "filling",
    "AutoModelForCausalLM": "language",
    "AutoModelForSeq2SeqLM": "language",
}
"""The classes of transformers that load a model with a head that can be explained."""

_ENDINGS: dict[str, Head] = {
    "ForSequenceClassification": "classes",
    "ForTokenClassification": "tags",
    "ForQuestionAnswering": "answers",
    "ForQuestionAnsweringSimple": "answers",
    "ForMaskedLM": "filling",
    "ForCausalLM": "language",
    "LMHeadModel": "language",
    "ForConditionalGeneration": "language",
    "ForSeq2SeqLM": "language",
}


def head_of(class_names: Iterable[str]) -> Head | None:
    """The head that the first telling name of a transformers class ends with, if any does."""
    for name in class_names:
        for ending, head in _ENDINGS.items():
            # XLM's and Flaubert's ...WithLMHeadModel are read by their outputs
            if name.endswith(ending) and not name.endswith("WithLMHeadModel"):
                return head
    return None


def head_kind(config: Any, outputs: int) -> Kind:
    """``classes`` exclude each other (softmax), ``labels`` do not (sigmoid), ``values`` are
    numbers without a probability (regression; also a single output that says nothing else).

    Args:
        config: the model's configuration, or None.
        outputs: how many outputs the head has.
    """
    said = said_kind(config) or "classes"
    return "values" if said == "classes" and outputs == 1 else said


def probability(logits: Tensor, index: int | None, kind: Kind) -> float | None:
    """The probability of output ``index`` of ``logits`` [outputs]; None where there is none."""
    if index is None or kind == "values":
        return None
    exact = logits.detach().double()
    shares = exact.sigmoid() if kind == "labels" else exact.softmax(-1)
    return float(shares[index])


def display_label(label: str, kind: Kind, outputs: int) -> str:
    """``score`` for the one output of a regression head that has no name of its own."""
    if kind == "values" and outputs == 1 and is_unnamed(label):
        return "score"
    return label


def is_unnamed(label: str) -> bool:
    """Whether a label is one that transformers made up."""
    return re.fullmatch(r"LABEL_\d+", label) is not None


def read_logits(output: Any, batch: int) -> Tensor:
    """The logits [batch, outputs] of a model's output: an object, a tuple or the tensor itself.

    Raises:
        ModelError: it has none of that shape; the model is no sequence classifier.
    """
    logits = getattr(output, "logits", output)
    if isinstance(logits, tuple | list) and logits:
        logits = logits[0]
    if isinstance(logits, Tensor) and logits.ndim == 1 and len(logits) == batch:
        logits = logits.unsqueeze(-1)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != batch:
        came = f"shape {list(logits.shape)}" if isinstance(logits, Tensor) else type(logits)
        raise ModelError(
            f"expected logits of shape [{batch}, classes], got {came}: lxt.explain takes models "
            "with a head for sequence or token classification, question answering, masked or "
            "causal language modelling, or text to text; for others see lxt.attribute"
        )
    return logits


def require_choice(target: object, kind: Kind, outputs: int, names: list[str]) -> None:
    """A head of several values predicts none of them: which one to explain must be said.

    Raises:
        TargetError: ``target`` is None and the head gives several values.
    """
    if target is None and kind == "values" and outputs > 1:
        raise TargetError(
            f"expected a target, since this regression head gives {outputs} values and none of "
            f"them is 'predicted': one of {', '.join(names) or f'0 to {outputs - 1}'}"
        )
