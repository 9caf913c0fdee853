"""An image classifier with its preprocessing, class names and patches, from whatever was given."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...errors import InputError, ModelError
from ...outputs import logits_of
from ...patch.hub import folder, guarded, is_local, load_model
from ...patch.install import refuse_unpatchable
from ..batches import evaluation_mode
from ..devices import usable
from .grid import Grid, find_grid, given_grid
from .labels import labels_of
from .processing import Preprocess

if TYPE_CHECKING:
    from PIL.Image import Image

_AUTO = "AutoModelForImageClassification"


@dataclass(frozen=True)
class ImageModel:
    """An image classifier, ready to be fed with pictures.

    Attributes:
        model: in whatever mode it was given; ``logits`` runs it in evaluation mode.
        preprocess: from a picture to pixels, and back.
        labels: one name a class.
        cells: the patches of a vision transformer, or the cells that a CNN's maps are shown in.
        name: how the model is called in an explanation.
    """

    model: nn.Module
    preprocess: Preprocess
    labels: list[str]
    cells: Grid
    name: str = ""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.cells.rows, self.cells.cols

    @property
    def prefix(self) -> int:
        """How many tokens stand before the patches: CLS, distillation, registers."""
        return self.cells.prefix

    @property
    def device(self) -> torch.device:
        return _place(self.model)[0]

    def batch(self, images: Sequence[Image]) -> Tensor:
        """RGB pictures as pixels [B, 3, H, W] on the model's device, in its dtype.

        Raises:
            InputError: no picture, or the preprocessing gives them different sizes.
        """
        if not images:
            raise InputError("expected at least one image")
        return self.stacked([self.preprocess(image) for image in images])

    def stacked(self, made: list[Tensor]) -> Tensor:
        """Pixels [3, H, W] of several images as a batch, see :meth:`batch`."""
        if len({m.shape for m in made}) > 1:
            sizes = ", ".join(str(tuple(m.shape[1:])) for m in made[:4])
            raise InputError(
                f"the preprocessing gives images of different sizes ({sizes}): one at a time"
            )
        return self.placed(torch.stack(made))

    def placed(self, pixels: Tensor) -> Tensor:
        """``pixels`` on the model's device, in its dtype."""
        device, dtype = _place(self.model)
        return pixels.to(device=device, dtype=dtype)

    def inputs(self, pixels: Tensor) -> Any:
        """``pixels`` as :func:`lxt.attribute` takes them for this model."""
        return {"pixel_values": pixels} if takes_pixel_values(self.model) else pixels

    @torch.no_grad()
    def logits(self, pixels: Tensor) -> Tensor:
        """[B, C] of pixels [B, 3, H, W]."""
        with evaluation_mode(self.model):
            return call(self.model, self.placed(pixels))


def takes_pixel_values(model: nn.Module) -> bool:
    """Whether the forward has an argument of that name, as those of transformers do."""
    return "pixel_values" in inspect.signature(model.forward).parameters


def call(model: nn.Module, pixels: Tensor) -> Tensor:
    """The logits [B, C] of a forward."""
    named = takes_pixel_values(model)
    output = model(pixel_values=pixels) if named else model(pixels)
    logits = logits_of(output, {})
    if logits.shape[0] != len(pixels):
        raise ModelError(
            f"expected logits of shape [{len(pixels)}, classes], got {tuple(logits.shape)}: "
            "lxt.explain takes image classifiers; for others see lxt.attribute"
        )
    return logits


def load_image_model(
    model: Any,
    processor: Any = None,
    labels: Any = None,
    *,
    cell: int | tuple[int, int] | None = None,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
) -> ImageModel:
    """Find the module, the preprocessing, the class names and the patches behind ``model``.

    Args:
        model: a ``torch.nn.Module`` (transformers, timm, torchvision or your own), an
            image-classification pipeline, a local folder (read without network) or a hub id.
        processor: how images are prepared, see :meth:`Preprocess.of`; None: as the model's folder
            or timm says.
        labels: class names, a list or a dict from index; None: those the model knows.
        cell: a side or (height, width) in pixels of what counts as one patch; None: a vision
            transformer's own patches, otherwise about 14 x 14 cells.
        device: where a model that is loaded here goes.
        trust_remote_code: whether code that comes with the model may run.

    Raises:
        ModelError: no such model, no head for images, or no way to prepare images is known.
        InputError: an argument of the wrong type.
    """
    name = ""
    place = None if device is None else usable(device)
    if isinstance(model, str | os.PathLike):
        name = os.fspath(model)
        module = load_model(
            name, trust_remote_code=trust_remote_code, auto_class=_AUTO, check=_head
        )
        if place is not None:
            module.to(place)
    elif isinstance(model, nn.Module):
        module = model
    elif isinstance(getattr(model, "model", None), nn.Module) and hasattr(model, "task"):
        if model.task != "image-classification":
            raise ModelError(
                f"expected a pipeline for image-classification, got one for {model.task!r}"
            )
        module = model.model
        processor = getattr(model, "image_processor", None) if processor is None else processor
    else:
        raise InputError(
            "expected model to be a torch.nn.Module, an image-classification pipeline, a local "
            f"folder or a hub id, got {type(model).__name__}"
        )
    refuse_unpatchable(list(module.named_modules()))
    found = Preprocess.of(
        _processor_of(module, name, trust_remote_code) if processor is None else processor
    )
    pixels = _sample(found, module)
    with evaluation_mode(module), torch.no_grad():
        outputs = call(module, pixels).shape[1]
        if cell is None:
            cells = find_grid(module, pixels, _Forward(module))
        else:
            cells = given_grid(cell, *pixels.shape[-2:])
    return ImageModel(
        module, found, labels_of(module, processor, labels, outputs), cells, _display(module, name)
    )


@dataclass(frozen=True)
class _Forward:
    model: nn.Module

    def __call__(self, pixels: Tensor) -> Tensor:
        return call(self.model, pixels)


def _sample(preprocess: Preprocess, module: nn.Module) -> Tensor:
    from PIL import Image

    device, dtype = _place(module)
    grey = preprocess(Image.new("RGB", (64, 64), (128, 128, 128)))
    return grey[None].to(device=device, dtype=dtype)


def _place(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.device.type != "meta":
            return parameter.device, parameter.dtype
    return torch.device("cpu"), torch.float32


def _head(config: Any) -> None:
    """Raise unless a configuration is that of an image classifier."""
    if not is_image_config(config):
        kinds = ", ".join(getattr(config, "architectures", None) or [type(config).__name__])
        raise ModelError(f"expected an image classifier, got {kinds}")


def is_image_config(config: Any) -> bool:
    """Whether a transformers configuration is of an image classifier."""
    names = getattr(config, "architectures", None) or []
    return any("ForImageClassification" in n for n in names)


def _processor_of(module: nn.Module, name: str, trust_remote_code: bool) -> Any:
    """The preprocessing that lies with the model: its folder's, or timm's data configuration."""
    if isinstance(getattr(module, "pretrained_cfg", None), dict):
        import timm

        return timm.data.create_transform(**timm.data.resolve_data_config({}, model=module))
    place = name or str(getattr(getattr(module, "config", None), "_name_or_path", "") or "")
    kind = type(module).__name__
    if not place:
        raise ModelError(
            f"no preprocessing is known for {kind}: give processor=, one of: a transformers image "
            "processor, torchvision weights or their transforms(), a function from a PIL image to "
            "a tensor [3, H, W], or dict(size=224, mean=(...), std=(...))"
        )
    local = is_local(place)
    place = folder(place) if local else place
    from transformers import AutoImageProcessor

    try:
        with _without_notices():
            return guarded(
                place,
                lambda: AutoImageProcessor.from_pretrained(
                    place, trust_remote_code=trust_remote_code, local_files_only=local
                ),
                what="image processor",
            )
    except ModelError as error:
        raise ModelError(
            f"no preprocessing beside the model ({place!r}): give processor=, for instance "
            f"dict(size=224, mean=(...), std=(...)) ({error})"
        ) from error


class _without_notices:  # noqa: N801 - reads as what it does
    """No notice that torchvision is not there: the slower processors do the same."""

    def __enter__(self) -> None:
        self.logger = logging.getLogger("transformers")
        self.level = self.logger.level
        self.logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self.logger.setLevel(self.level)


def _display(module: nn.Module, name: str) -> str:
    if name:
        from pathlib import Path

        return Path(name).expanduser().resolve().name if is_local(name) else name
    config = getattr(module, "pretrained_cfg", None)
    if isinstance(config, dict) and config.get("architecture"):
        return str(config["architecture"])
    return type(module).__name__


def is_image_model(model: Any, trust_remote_code: bool = False) -> bool:
    """Whether ``model`` classifies images, as far as it says so itself."""
    if isinstance(model, str | os.PathLike):
        from transformers import AutoConfig

        name = os.fspath(model)
        local = is_local(name)
        place = folder(name) if local else name
        config = guarded(
            name,
            lambda: AutoConfig.from_pretrained(
                place, trust_remote_code=trust_remote_code, local_files_only=local
            ),
        )
        return is_image_config(config)
    if hasattr(model, "task") and not isinstance(model, nn.Module):
        return bool(model.task == "image-classification")
    if not isinstance(model, nn.Module):
        return False
    if isinstance(getattr(model, "pretrained_cfg", None), dict):
        return True
    return getattr(model, "main_input_name", None) == "pixel_values" and not hasattr(
        getattr(model, "config", None), "vocab_size"
    )
