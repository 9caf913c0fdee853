"""``lxt.explain``: a text or an image, decided by what was given and what the model reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

    from .image.result import ImageExplanation
    from .result import TextExplanation

_IMAGES = ("processor", "labels", "cell", "trace", "top", "on_error")
_TEXTS = ("pair", "prefix", "tokenizer", "window", "stride")


class Options(TypedDict, total=False):
    """What texts and images have in common."""

    target: Any
    composite: Any
    batch_size: int | None
    ledger: bool
    strict: bool
    device: str | torch.device | None
    trust_remote_code: bool
    progress: bool


class TextOptions(Options, total=False):
    """See :func:`.explain_text`."""

    pair: str | Iterable[str] | None
    prefix: str | Iterable[str] | None
    tokenizer: Any
    window: int | None
    stride: int | None


class ImageOptions(Options, total=False):
    """See :func:`.explain_image`."""

    processor: Any
    labels: Any
    cell: int | tuple[int, int] | None
    trace: bool
    top: int
    on_error: str


class AnyOptions(TextOptions, ImageOptions, total=False):
    """Of either."""


@overload
def explain(
    model: object,
    text: os.PathLike[str] | Image | Tensor | np.ndarray[Any, np.dtype[np.number[Any] | np.bool]],
    **options: Unpack[ImageOptions],
) -> ImageExplanation: ...
@overload
def explain(
    model: object, text: Mapping[str, str], **options: Unpack[TextOptions]
) -> TextExplanation: ...
@overload  # a str may be a text or a path, an array hold texts: which, only the model can tell
def explain(model: object, text: Any, **options: Unpack[AnyOptions]) -> Any: ...
def explain(model: Any, text: Any, **options: Any) -> Any:
    """Explain a prediction: of a text word by word, of an image pixel by pixel.

    ``lxt.explain(model, "A gripping, funny film.")`` and ``lxt.explain(model, "photo.jpg")`` look
    alike: a ``str`` is a path where the model classifies images, and a text otherwise.  A
    ``pathlib.Path``, PIL image, array of numbers, float tensor or row of an image data set is an
    image, and so are ``bytes``, but for a model that reads text; an array of strings is a list.

    Args:
        model: a ``torch.nn.Module``, a pipeline, a local folder (read without network) or a hub id.
        text: one text or image, or several.
        options: ``target, composite, batch_size, ledger, strict, device, trust_remote_code,
            progress`` for both; for texts also ``pair, prefix, tokenizer, window, stride``, see
            :func:`.explain_text`; for images also ``processor, labels, cell, trace, top,
            on_error``, see :func:`.explain_image`.

    Returns:
        A :class:`.TextExplanation` or :class:`.ImageExplanation`, or a list of them for several.

    Raises:
        LxtError: see the two functions; InputError for an option of the other one.
    """
    from .image.open import is_image_like
    from .image.run import explain_image
    from .text import explain_text

    if isinstance(text, np.ndarray) and not is_image_like(text):
        text = text.tolist()
    if not isinstance(text, str | bytes | Mapping | Tensor | np.ndarray) and _is_lazy(text):
        text = list(text)  # a generator can be looked at once only
    images = reads_images(model, text, options)
    wrong = [name for name in (_TEXTS if images else _IMAGES) if options.get(name) is not None]
    if wrong:
        raise InputError(
            f"{', '.join(wrong)}: for {'texts' if images else 'images'} only, and this is "
            f"{'an image' if images else 'a text'} model or input"
        )
    if images:
        return explain_image(model, text, **options)
    return explain_text(model, text, **options)


def reads_images(model: Any, given: Any, options: Mapping[str, Any]) -> bool:
    """Whether ``given`` is to be explained as an image, or as several."""
    from .image.model import ImageModel, is_image_model
    from .image.open import is_image_like

    if isinstance(model, ImageModel):
        return True
    first = given
    if isinstance(given, list | tuple) and given:
        first = given[0]
    if is_image_like(first) and not isinstance(first, bytes | bytearray):
        return True
    if isinstance(first, Mapping) or options.get("tokenizer") is not None:
        return False
    if any(options.get(name) is not None for name in ("processor", "labels")):
        return True
    if isinstance(first, bytes | bytearray) and _says_nothing(model):
        return True
    if isinstance(model, str | os.PathLike | nn.Module) or hasattr(model, "task"):
        return is_image_model(model, bool(options.get("trust_remote_code")))
    return False


def _says_nothing(model: Any) -> bool:
    """Whether a model is of no library whose models say what they read."""
    return isinstance(model, nn.Module) and not hasattr(model, "main_input_name")


def _is_lazy(given: Any) -> bool:
    lazy = isinstance(given, Iterable) and not hasattr(given, "__len__")
    return lazy and not hasattr(given, "column_names")  # a streamed data set knows more than rows
