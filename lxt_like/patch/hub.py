"""Models by name: a local folder, read without network, or a hub id; safetensors only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from ..errors import ModelError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*(/[A-Za-z0-9][\w.\-]*)?")

T = TypeVar("T")


def load_model(
    name: str,
    *,
    trust_remote_code: bool = False,
    auto_class: str | None = None,
    check: Callable[[Any], None] | None = None,
) -> nn.Module:
    """The model ``name`` in eval mode, with the head it was saved with.

    Args:
        name: a local folder, or a hub id.
        trust_remote_code: whether code that comes with the model may run.
        auto_class: the transformers class to load it with; None: the one in its configuration.
        check: called with the configuration before any weight is read.

    Raises:
        ModelError: no such model, no safetensors, or weights that leave a part random.
    """
    local = is_local(name)
    if local:
        name = folder(name)
    import transformers

    options = {"trust_remote_code": trust_remote_code, "local_files_only": local}
    config = guarded(name, lambda: transformers.AutoConfig.from_pretrained(name, **options))
    if check is not None:
        check(config)
    if auto_class is None:
        auto_class = next(iter(getattr(config, "architectures", None) or [""]))
    loader = getattr(transformers, auto_class, transformers.AutoModel)
    with _quiet(local):
        model, info = guarded(
            name,
            lambda: loader.from_pretrained(
                name, config=config, use_safetensors=True, output_loading_info=True, **options
            ),
        )
    _require_weights(name, info)
    found: nn.Module = model.eval()
    return found


@contextmanager
def _quiet(local: bool) -> Iterator[None]:
    """No progress bar for a folder that is read in a moment; downloads keep theirs."""
    from transformers.utils import logging

    shown = local and logging.is_progress_bar_enabled()
    if shown:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def is_local(name: str) -> bool:
    """Whether ``name`` means a folder rather than a hub id, whether or not it exists.

    An existing path, one that starts like a path or has more than one separator, and
    ``folder/name`` where ``folder`` exists here.
    """
    path = Path(name).expanduser()
    if path.exists() or path.is_absolute() or not _HUB_ID.fullmatch(name):
        return True
    return "/" in name and path.parent.is_dir()


def folder(name: str) -> str:
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


def _require_weights(name: str, info: dict[str, Any]) -> None:
    missing = sorted(str(key) for key in info.get("missing_keys") or ())
    missing += sorted(str(key[0]) for key in info.get("mismatched_keys") or ())
    if missing or info.get("error_msgs"):
        shown = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
        raise ModelError(
            f"the weights of {name!r} do not fill the model: "
            f"{shown or '; '.join(info['error_msgs'])} would be random; "
            "name a model that was saved with its head"
        )


def guarded(name: str, load: Callable[[], T], what: str = "model") -> T:
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
