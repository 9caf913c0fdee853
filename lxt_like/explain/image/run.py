"""``lxt.explain`` for images: pictures in, relevance of pixels and patches out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...classes import Classes, kind_of
from ...composites import BOXED, Composite
from ...composites import composite as resolve_composite
from ...errors import InputError, SkippedWarning
from ...explanation import ImageData, Side, TargetInfo
from ...targets import Contrast, Names, Resolved, Target, as_target, select
from .. import engine
from ..batches import evaluation_mode
from ..heads import head_kind, probability
from ..inputs import batch_size_of, positive
from ..run import Bar
from .model import ImageModel, load_image_model
from .open import is_image_like, open_image
from .places import blocks, layer_maps
from .prepared import Prepared, prepare
from .processing import Preprocess
from .result import ImageExplanation

ON_ERROR = ("raise", "skip")


@dataclass(frozen=True)
class _Named(Target):
    """A target whose class names are those of an image model, wherever they come from."""

    target: Target
    names: Names

    def read(self, output: Any, inputs: Mapping[str, Any]) -> Any:
        return self.target.read(output, inputs)

    def resolve(self, logits: Tensor, names: Names) -> Resolved:
        return self.target.resolve(logits, Classes(self.names, kind_of(names)))


@dataclass(frozen=True)
class _Item:
    """One image and its place among those given."""

    at: int
    image: Prepared

    @property
    def pixels(self) -> Tensor:
        return self.image.pixels


@dataclass(frozen=True)
class _Options:
    composite: Composite
    name: str
    ledger: bool
    strict: bool
    trace: bool
    top: int


def explain_image(
    model: Any,
    image: Any,
    *,
    target: Any = None,
    composite: Any = "attnlrp",
    processor: Any = None,
    labels: Any = None,
    cell: int | tuple[int, int] | None = None,
    batch_size: int | None = None,
    ledger: bool = True,
    strict: bool = True,
    trace: bool = True,
    top: int = 5,
    on_error: str = "raise",
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    progress: bool = False,
) -> ImageExplanation | list[ImageExplanation]:
    """Explain an image classifier's prediction pixel by pixel and patch by patch.

    Args:
        model: a ``torch.nn.Module`` of transformers, timm, torchvision or your own, an
            image-classification pipeline, a local folder or a hub id, or an :class:`ImageModel`.
        image: one image, or several; see :func:`open_image`.  A float *tensor* [3, H, W] is taken
            as pixels that the model's own preprocessing has made.  Several give a list.
        target: None (the predicted class), an index, a class name, a list with one of these per
            image, or an object of ``lxt.targets``; a ``Contrast`` also keeps the map of each side.
        composite: name of a preset or a ``Composite``.  A preset with a z-box, given by name, gets
            the bounds of this model's pixels.
        processor, labels, cell, device, trust_remote_code: see :func:`load_image_model`.
        batch_size: the most images at once; None: 16, or 8 with a ledger.
        ledger: whether to account for the whole score.
        strict: whether an operation without a rule is an error.
        trace: whether to keep relevance at the model's blocks, from the same backward.
        top: how many of the likeliest classes to list.
        on_error: "skip" leaves out images that cannot be read, with a warning for each.
        progress: show a progress bar.

    Raises:
        InputError: an image that cannot be read (with its name), or an option out of range.
        TargetError: the model has no such class.
        ModelError: the model cannot be loaded, or how to prepare images is not known.
    """
    if on_error not in ON_ERROR:
        raise InputError(f"on_error is one of {', '.join(ON_ERROR)}, got {on_error!r}")
    positive(top, "top", least=0)
    size = batch_size_of(batch_size, ledger)
    resolve_composite(composite)
    images, single = as_images(image)
    if not images:
        return []
    loaded = (
        model
        if isinstance(model, ImageModel)
        else load_image_model(
            model, processor, labels, cell=cell, device=device, trust_remote_code=trust_remote_code
        )
    )
    made, name = boxed(composite, loaded.preprocess)
    options = _Options(made, name, ledger, strict, trace, top)
    results: list[ImageExplanation] = []
    with evaluation_mode(loaded.model), Bar(len(images), progress, "image") as bar:
        for chunk in _chunks(loaded, images, size, on_error == "skip", bar):
            chosen = select(target, [item.at for item in chunk], len(images), "image")
            results += _explain(loaded, chunk, chosen, options)
            bar.advance(len(chunk))
    return results[0] if single else results


def as_images(given: Any) -> tuple[list[Any], bool]:
    """The images of a caller as a list, and whether it was a single one."""
    many = isinstance(given, Tensor | np.ndarray) and given.ndim == 4
    if not many and (isinstance(given, str | os.PathLike) or is_image_like(given)):
        return [given], True
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        open_image(given)  # says what is wrong with it
        return [given], True
    return list(given), False


def boxed(given: Any, preprocess: Preprocess) -> tuple[Composite, str]:
    """The composite and its name; a preset with a z-box gets the bounds of the model's pixels."""
    if isinstance(given, str) and given in BOXED:
        return BOXED[given](*preprocess.bounds), given
    made = resolve_composite(given)
    return made, made.name or str(made)


def _chunks(
    loaded: ImageModel, images: Sequence[Any], size: int, skip: bool, bar: Bar
) -> Iterator[list[_Item]]:
    """Prepared images, up to ``size`` of one shape at a time."""
    chunk: list[_Item] = []
    for at, given in enumerate(images):
        try:
            item = _Item(at, prepare(loaded, given))
        except InputError as error:
            if not skip:
                if len(images) == 1:
                    raise
                raise InputError(f"image {at}: {error}") from error
            _skip(f"image {at}", error)
            bar.advance(1)
            continue
        if chunk and (len(chunk) == size or item.pixels.shape != chunk[0].pixels.shape):
            yield chunk
            chunk = []
        chunk.append(item)
    if chunk:
        yield chunk


def _skip(what: str, error: Exception) -> None:
    warnings.warn(f"{what} was skipped: {error}", SkippedWarning, stacklevel=4)


def _explain(
    loaded: ImageModel, chunk: Sequence[_Item], target: Any, options: _Options
) -> list[ImageExplanation]:
    pixels = loaded.placed(torch.stack([item.pixels for item in chunk]))
    names = dict(enumerate(loaded.labels))
    if isinstance(target, list) and any(isinstance(t, Target) for t in target):
        if len(target) > 1:
            return [
                found
                for item, one in zip(chunk, target, strict=True)
                for found in _explain(loaded, [item], one, options)
            ]
        target = target[0]
    wanted = as_target(target)

    def run(asked: Target, ledger: bool, layers: list[str] | None) -> Any:
        return engine.attribute(
            loaded.model,
            loaded.inputs(pixels),
            target=_Named(asked, names),
            composite=options.composite,
            ledger=ledger,
            strict=options.strict,
            layers=layers,
        )

    found = run(wanted, options.ledger, blocks(loaded.model) if options.trace else None)
    logits = wanted.read(found.output, {})
    sides = _sides(wanted, run, logits, names) if isinstance(wanted, Contrast) else None
    made = []
    for i, item in enumerate(chunk):
        data = _assemble(loaded, found, i, len(chunk), item, logits[i], options)
        if sides is not None:
            data = replace(data, sides=tuple(side[i] for side in sides))
        made.append(ImageExplanation.of(data))
    return made


def _sides(wanted: Contrast, run: Any, logits: Tensor, names: Names) -> list[list[Side]]:
    """The maps of the target and of the foil, each by itself, for every sample."""
    both = []
    for asked in (wanted.c, wanted.foil):
        found = run(as_target(asked), False, None)
        both.append(
            [
                Side(
                    found.target.labels[i], float(found.score[i]), _array(found.relevance[i].sum(0))
                )
                for i in range(len(logits))
            ]
        )
    return both


def _assemble(
    loaded: ImageModel,
    found: Any,
    i: int,
    batch: int,
    item: _Item,
    logits: Tensor,
    options: _Options,
) -> ImageData:
    kind = head_kind(getattr(loaded.model, "config", None), len(logits))
    label, index = found.target.describe(i)
    height, width = item.pixels.shape[1:]
    cells = loaded.cells.on(height, width)
    order = logits.detach().float().argsort(descending=True)[: options.top].tolist()
    top = tuple(
        TargetInfo(loaded.labels[c], c, float(logits[c]), probability(logits, c, kind))
        for c in order
    )
    return ImageData(
        pixels=loaded.preprocess.view(item.pixels),
        channels=_array(found.relevance[i]),
        cell=cells.cell,
        grid=(cells.rows, cells.cols),
        target=TargetInfo(label, index, float(found.score[i]), probability(logits, index, kind)),
        top=top,
        account=found.ledger.account(i) if found.ledger is not None else None,
        layers=layer_maps(found.layers, i, batch, cells, height / width),
        name=item.image.name,
        model=loaded.name,
        composite=options.name,
        notes=item.image.notes,
    )


def _array(relevance: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    made: np.ndarray[Any, np.dtype[np.float32]] = relevance.detach().float().cpu().numpy()
    return made
