"""A text model and its tokenizer from a module, a pipeline, a local folder or a hub id."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError, ModelError
from ..patch.embedded import input_embedding
from ..patch.hub import folder, guarded, is_local, load_model
from ..patch.install import refuse_unpatchable
from .devices import usable
from .heads import AUTO_CLASSES, head_of

_NO_VOCABULARY = 3  # pieces beside special tokens; T5 and DeBERTa make up one or two
_TASKS = (
    "text-classification",
    "sentiment-analysis",
    "token-classification",
    "ner",
    "question-answering",
    "fill-mask",
    "text-generation",
    "text2text-generation",
    "summarization",
    "translation",
)


@dataclass(frozen=True, slots=True)
class TextModel:
    """A model with a head, its tokenizer, and the name it goes by in an explanation."""

    model: nn.Module
    tokenizer: Any
    name: str


def load_text_model(
    model: object,
    *,
    tokenizer: object = None,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
) -> TextModel:
    """Find the module and the tokenizer behind ``model``.

    Args:
        model: a ``torch.nn.Module``, a pipeline for one of the text tasks, a local folder or
            a hub id.  Folders are read without network; only safetensors weights are loaded.
        tokenizer: a tokenizer, or a folder or hub id of one; None: the model's own.
        device: where a model that is loaded here goes; modules and pipelines stay where
            they are, so another device than theirs is refused.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        ModelError: no such model, no tokenizer, no head, no safetensors.
        InputError: ``model`` is of another type, or ``device`` is not where the module is, or is
            none that can be used.
    """
    if isinstance(model, str | os.PathLike):
        return _from_name(os.fspath(model), tokenizer, device, trust_remote_code)
    if isinstance(model, nn.Module):
        module, found = model, tokenizer
    elif isinstance(getattr(model, "model", None), nn.Module) and hasattr(model, "task"):
        task = getattr(model, "task", None)
        if str(task).split("_")[0] not in _TASKS:  # translation_en_to_de
            raise ModelError(
                f"expected a pipeline for a text task, got one for {task!r}: "
                f"make it with one of {', '.join(_TASKS)}"
            )
        module = getattr(model, "model")  # noqa: B009 - `model` is no nn.Module here
        found = getattr(model, "tokenizer", None) if tokenizer is None else tokenizer
    else:
        raise InputError(
            "expected model to be a torch.nn.Module, a transformers pipeline, a local folder or "
            f"a hub id, got {type(model).__name__}"
        )
    refuse_unpatchable(list(module.named_modules()))
    _require_device(module, device)
    name = _name_of(module)
    if found is None:
        if not name:
            raise ModelError(
                f"no tokenizer: {type(module).__name__} does not say where it was loaded from; "
                "pass tokenizer="
            )
        found = _tokenizer_beside(name, trust_remote_code)
    return TextModel(
        module,
        _tokenizer(found, trust_remote_code),
        _display(name) or type(module).__name__,
    )


def input_device(model: nn.Module) -> torch.device:
    """The device that ``model`` takes its ids on."""
    embedding = input_embedding(model)
    modules = [model] if embedding is None else [embedding, model]
    for parameter in chain.from_iterable(m.parameters() for m in modules):
        if parameter.device.type != "meta":
            return parameter.device
    return torch.device("cpu")


def _from_name(
    name: str, tokenizer: object, device: str | torch.device | None, trust_remote_code: bool
) -> TextModel:
    place = None if device is None else usable(device)
    model = load_model(
        name,
        trust_remote_code=trust_remote_code,
        auto_class=_auto_class(name, trust_remote_code),
    )
    if place is not None:
        model.to(place)
    # the tokenizer may lie with the model only
    found = name if tokenizer is None else tokenizer
    return TextModel(model, _tokenizer(found, trust_remote_code), _display(name))


def _auto_class(name: str, trust_remote_code: bool) -> str:
    """The class of transformers that loads ``name`` with the head it was saved with."""
    local = is_local(name)
    place = folder(name) if local else name
    from transformers import AutoConfig

    config = guarded(
        name,
        lambda: AutoConfig.from_pretrained(
            place, trust_remote_code=trust_remote_code, local_files_only=local
        ),
    )
    architectures = list(getattr(config, "architectures", None) or [])
    own = [auto for auto in AUTO_CLASSES if auto in (getattr(config, "auto_map", None) or {})]
    if trust_remote_code and own:
        return own[0]
    first = next(iter(AUTO_CLASSES))
    if not architectures:
        return first
    head = head_of(architectures)
    if head is None and not trust_remote_code:
        raise ModelError(
            f"{name!r} is a {', '.join(architectures)}: it has no sequence classification head, "
            "nor another that predicts from text, and a new one would be random; fine-tune it, "
            "or name a model that is"
        )
    if head == "language" and getattr(config, "is_encoder_decoder", False):
        return "AutoModelForSeq2SeqLM"
    return next((auto for auto, of in AUTO_CLASSES.items() if of == head), first)


def _tokenizer(source: object, trust_remote_code: bool) -> Any:
    if not isinstance(source, str | os.PathLike):
        if not callable(source) or not hasattr(source, "convert_ids_to_tokens"):
            raise InputError(
                "expected tokenizer to be a transformers tokenizer, a folder or a hub id, "
                f"got {type(source).__name__}"
            )
        return source
    name = os.fspath(source)
    local = is_local(name)
    if local and not Path(name).expanduser().is_dir():
        raise ModelError(f"no tokenizer: no folder {name!r}")
    from transformers import AutoTokenizer

    name = str(Path(name).expanduser()) if local else name
    return _require_vocabulary(
        name,
        guarded(
            name,
            lambda: AutoTokenizer.from_pretrained(
                name, trust_remote_code=trust_remote_code, local_files_only=local
            ),
            what="tokenizer",
        ),
    )


def _require_vocabulary(name: str, tokenizer: Any) -> Any:
    """Without any file transformers makes a tokenizer that knows special tokens only."""
    if len(tokenizer) - len(tokenizer.all_special_ids) <= _NO_VOCABULARY:
        raise ModelError(
            f"no tokenizer files in {name!r}: its {type(tokenizer).__name__} would know no word; "
            "save the tokenizer there, or pass tokenizer="
        )
    return tokenizer


def _tokenizer_beside(name: str, trust_remote_code: bool) -> Any:
    """The tokenizer of a module that was loaded from ``name``: from its folder or the cache."""
    try:
        if is_local(name):
            return _tokenizer(name, trust_remote_code)
        from transformers import AutoTokenizer

        found = guarded(
            name,
            lambda: AutoTokenizer.from_pretrained(
                name, trust_remote_code=trust_remote_code, local_files_only=True
            ),
            what="tokenizer",
        )
        return _require_vocabulary(name, found)
    except ModelError as error:
        raise ModelError(
            f"no tokenizer beside the model ({name!r}): pass tokenizer=, a tokenizer or the name "
            "of one"
        ) from error


def _require_device(module: nn.Module, device: str | torch.device | None) -> None:
    if device is None:
        return
    wanted, own = usable(device), input_device(module)
    if wanted.type != own.type or (wanted.index or 0) != (own.index or 0):
        raise InputError(
            f"expected device={str(own)!r}, where the given model is, got {str(wanted)!r}: "
            "move the model first; lxt.explain leaves it as it is"
        )


def _name_of(module: nn.Module) -> str:
    name = getattr(module, "name_or_path", "")
    if not isinstance(name, str) or not name:
        name = getattr(getattr(module, "config", None), "_name_or_path", "")
    return name if isinstance(name, str) else ""


def _display(name: str) -> str:
    """Hub ids as they are; of a folder its last part, since where it lies says nothing."""
    return Path(name).expanduser().resolve().name if name and is_local(name) else name
