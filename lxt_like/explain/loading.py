"""A text classifier and its tokenizer from a module, a pipeline, a local folder or a hub id."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import InputError, ModelError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")
_NO_VOCABULARY = 3  # pieces beside special tokens; T5 and DeBERTa make up one or two
_TASKS = ("text-classification", "sentiment-analysis")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TextModel:
    """A sequence classifier, its tokenizer, and the name it goes by in an explanation."""

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
        model: a ``torch.nn.Module``, a text classification pipeline, a local folder or a hub
            id.  Folders are read without network; only safetensors weights are loaded.
        tokenizer: a tokenizer, or a folder or hub id of one; None: the model's own.
        device: where a model that is loaded here goes; modules and pipelines stay where
            they are, so another device than theirs is refused.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        ModelError: no such model, no tokenizer, no classification head, no safetensors.
        InputError: ``model`` is of another type, or ``device`` is not where the module is.
    """
    if isinstance(model, str | os.PathLike):
        return _from_name(os.fspath(model), tokenizer, device, trust_remote_code)
    if isinstance(model, nn.Module):
        module, found = model, tokenizer
    elif isinstance(getattr(model, "model", None), nn.Module) and hasattr(model, "task"):
        task = getattr(model, "task", None)
        if task not in _TASKS:
            raise ModelError(
                f"expected a text-classification pipeline, got one for {task!r}: "
                "make it with pipeline('text-classification', ...)"
            )
        module = getattr(model, "model")  # noqa: B009 - `model` is no nn.Module here
        found = getattr(model, "tokenizer", None) if tokenizer is None else tokenizer
    else:
        raise InputError(
            "expected model to be a torch.nn.Module, a transformers pipeline, a local folder or "
            f"a hub id, got {type(model).__name__}"
        )
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
    embeddings = getattr(model, "get_input_embeddings", None)
    places = [embeddings()] if callable(embeddings) else []
    modules = [m for m in (*places, model) if isinstance(m, nn.Module)]
    for parameter in chain.from_iterable(m.parameters() for m in modules):
        if parameter.device.type != "meta":
            return parameter.device
    return torch.device("cpu")


def is_local(name: str) -> bool:
    """Whether ``name`` means a folder rather than a hub id, whether or not it exists.

    An existing path, one that starts like a path or has more than one separator, and
    ``folder/name`` where ``folder`` exists here.
    """
    path = Path(name).expanduser()
    if path.exists() or path.is_absolute() or not _HUB_ID.fullmatch(name):
        return True
    return "/" in name and path.parent.is_dir()


def _from_name(
    name: str, tokenizer: object, device: str | torch.device | None, trust_remote_code: bool
) -> TextModel:
    local = is_local(name)
    if local:
        name = _folder(name)
    from transformers import AutoConfig, AutoModelForSequenceClassification

    options = {"trust_remote_code": trust_remote_code, "local_files_only": local}
    config = _guarded(name, lambda: AutoConfig.from_pretrained(name, **options))
    _require_head(name, config, trust_remote_code)
    model, info = _guarded(
        name,
        lambda: AutoModelForSequenceClassification.from_pretrained(
            name, config=config, use_safetensors=True, output_loading_info=True, **options
        ),
    )
    _require_weights(name, info)
    model.eval()
    if device is not None:
        model.to(device)
    # the tokenizer may lie with the model only
    found = name if tokenizer is None else tokenizer
    return TextModel(model, _tokenizer(found, trust_remote_code), _display(name))


def _folder(name: str) -> str:
    path = Path(name).expanduser()
    if not path.exists():
        raise ModelError(
            f"no folder {name!r}: expected an existing model folder, or a hub id of the form "
            "'owner/name' (nothing was looked up, since this looks like a path)"
        )
    if not path.is_dir():
        raise ModelError(f"expected a model folder, got the file {name!r}: pass its folder")
    if not (path / "config.json").exists() and not (path / "adapter_config.json").exists():
        raise ModelError(
            f"no config.json in {name!r}: expected a folder written by save_pretrained"
        )
    return str(path)


def _require_head(name: str, config: Any, trust_remote_code: bool) -> None:
    architectures = list(getattr(config, "architectures", None) or [])
    known = any(a.endswith("ForSequenceClassification") for a in architectures)
    if architectures and not known and not trust_remote_code:
        raise ModelError(
            f"{name!r} is a {', '.join(architectures)}: it has no sequence classification head, "
            "and a new one would be random; fine-tune it, or name a model that is"
        )


def _require_weights(name: str, info: dict[str, Any]) -> None:
    missing = sorted(str(key) for key in info.get("missing_keys") or ())
    missing += sorted(str(key[0]) for key in info.get("mismatched_keys") or ())
    if missing or info.get("error_msgs"):
        shown = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
        raise ModelError(
            f"the weights of {name!r} do not fill the classifier: "
            f"{shown or '; '.join(info['error_msgs'])} would be random; "
            "name a model that was fine-tuned for sequence classification"
        )


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
        _guarded(
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

        found = _guarded(
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


def _guarded(name: str, load: Callable[[], T], what: str = "model") -> T:
    try:
        return load()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError) as error:
        # transformers raises any of these for files that are not there or not readable
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = ""
        if "safetensors" in reason or "pytorch_model.bin" in reason:
            hint = " (only safetensors weights are loaded: convert others with save_pretrained)"
        elif "trust_remote_code" in reason:
            hint = " (its own code runs only with trust_remote_code=True)"
        elif re.search(r"connect|offline|resolve|network|cached files", reason, re.IGNORECASE):
            hint = " (is there a network? a local folder needs none)"
        raise ModelError(f"cannot load the {what} {name!r}: {reason[:300]}{hint}") from error


def _require_device(module: nn.Module, device: str | torch.device | None) -> None:
    if device is None:
        return
    wanted, own = torch.device(device), input_device(module)
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
