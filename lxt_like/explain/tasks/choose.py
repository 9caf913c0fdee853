"""Which task a model is for: from its head, and where that has no known name, its outputs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ModelError
from ..batches import Runner, accepted_inputs, evaluation_mode
from ..encode import encode
from ..heads import head_of
from ..loading import TextModel
from ..rows import Row
from .answers import Answers
from .base import Task
from .classes import Classification
from .filling import Filling
from .next_token import NextToken
from .seq2seq import Seq2Seq
from .tags import Tags


def task_for(loaded: TextModel) -> Task:
    """The task of a model.

    The names of transformers' classes say what head a model has (``...ForTokenClassification``);
    for other models a short text is put through, and the form of the outputs tells.

    Raises:
        ModelError: the outputs are none that a task is known for.
    """
    unwrap = getattr(loaded.model, "get_base_model", None)  # of an adapter
    module = unwrap() if callable(unwrap) else loaded.model
    names = accepted_inputs(module)
    if names is not None and "input_ids" not in names:
        raise ModelError(
            f"{type(module).__name__} takes no input_ids, so it reads no text: use lxt.attribute"
        )
    head = head_of(cls.__name__ for cls in type(module).__mro__)
    if head == "language":
        return (Seq2Seq if _writes(module) else NextToken)(loaded)
    named: dict[str, type[Task]] = {
        "classes": Classification,
        "tags": Tags,
        "answers": Answers,
        "filling": Filling,
    }
    return named[head](loaded) if head is not None else _by_outputs(loaded, module)


def _writes(module: nn.Module) -> bool:
    """Whether the model reads a source and writes an output."""
    takes = "decoder_input_ids" in inspect.signature(module.forward).parameters
    return takes and bool(getattr(getattr(module, "config", None), "is_encoder_decoder", takes))


def _by_outputs(loaded: TextModel, module: nn.Module) -> Task:
    if _writes(module):
        return Seq2Seq(loaded)
    runner = Runner(loaded, batch_size=1)
    encoding = encode(loaded.tokenizer, "a b c")
    inputs = runner.inputs([Row(0, encoding, list(range(len(encoding))))])
    with evaluation_mode(loaded.model), torch.no_grad():
        output = _tried(loaded.model, inputs)
        fields = output if isinstance(output, Mapping) else {}
        if "start_logits" in fields and "end_logits" in fields:
            return Answers(loaded)
        if fields and "logits" not in fields:
            raise ModelError(
                f"{type(module).__name__} has no head that predicts from text (its outputs are "
                f"{', '.join(fields)}): load it with one, as by AutoModelFor..."
            )
        logits = _logits(output)
        labels = getattr(getattr(module, "config", None), "num_labels", None)
        if not isinstance(logits, Tensor) or logits.ndim != 3:
            if isinstance(logits, Tensor) and logits.shape == inputs["input_ids"].shape:
                _require_labels(module, logits.shape[1], labels)
            return Classification(loaded)  # which says what is wrong, if anything is
        if logits.shape[:2] != inputs["input_ids"].shape:
            raise ModelError(
                f"expected logits for the text or for each of its tokens, got "
                f"{list(logits.shape)} for {inputs['input_ids'].shape[1]} tokens: use lxt.attribute"
            )
        if logits.shape[-1] == labels or logits.shape[-1] < len(loaded.tokenizer) // 2:
            return Tags(loaded, logits.shape[-1])
        # does an earlier token know of a later one?
        ids = inputs["input_ids"].clone()
        ids[:, -1] = ids[:, 0] if bool((ids[:, 0] != ids[:, -1]).all()) else ids[:, 1]
        other = _logits(loaded.model(**{**inputs, "input_ids": ids}))
        causal = isinstance(other, Tensor) and torch.allclose(logits[:, 0], other[:, 0], atol=1e-6)
    return (NextToken if causal else Filling)(loaded)


def _tried(model: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
    try:
        return model(**inputs)
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError) as error:
        raise ModelError(
            f"cannot tell what {type(model).__name__} is for, since it does not run on a text "
            f"alone: {error}; use lxt.attribute"
        ) from error


def _require_labels(module: nn.Module, outputs: int, labels: int | None) -> None:
    """Refuse one number for each token: no classes of the text."""
    if labels is not None and labels != outputs:
        raise ModelError(
            f"{type(module).__name__} gives one number for each token, which is no head that is "
            "known: use lxt.attribute with lxt.targets.Output"
        )


def _logits(output: Any) -> Any:
    logits = output.get("logits", output) if isinstance(output, Mapping) else output
    return logits[0] if isinstance(logits, tuple | list) and logits else logits
