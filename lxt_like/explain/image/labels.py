"""The class names of an image model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ...errors import InputError
from ...targets import class_names


def labels_of(model: nn.Module, processor: Any, given: Any, outputs: int) -> list[str]:
    """One name for each of ``outputs`` classes; the index where nobody named it.

    Args:
        model: its configuration is asked, of timm models also the data set they were trained on.
        processor: torchvision weights know their classes.
        given: the caller's names: a list, or a dict from index to name.

    Raises:
        InputError: as many names as classes were expected.
    """
    if given is not None:
        return _given(given, outputs)
    names: Mapping[int, str] = class_names(model)
    if not names:
        names = dict(enumerate(_categories(model, processor)))
    if len(names) != outputs:
        names = {}
    return [names.get(i, str(i)) for i in range(outputs)]


def _given(given: Any, outputs: int) -> list[str]:
    if isinstance(given, Mapping):
        return [str(given.get(i, given.get(str(i), i))) for i in range(outputs)]
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InputError(
            f"labels is a list of names or a dict from index to name, got {type(given).__name__}"
        )
    if len(given) != outputs:
        raise InputError(f"got {len(given)} labels for the {outputs} classes of the model")
    return [str(name) for name in given]


def _categories(model: nn.Module, processor: Any) -> Sequence[str]:
    meta = getattr(processor, "meta", None)
    if isinstance(meta, Mapping) and "categories" in meta:
        return list(meta["categories"])
    config: Any = getattr(model, "pretrained_cfg", None)
    if not isinstance(config, Mapping):
        return []
    if config.get("label_names"):
        return list(config["label_names"])
    if getattr(model, "num_classes", None) != 1000:
        return []
    import timm

    info = timm.data.ImageNetInfo()
    return [info.index_to_description(i).split(",")[0] for i in range(1000)]
