"""Preprocessing: from an RGB picture to the model's pixels, and back to what the model saw."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

_PROBE = (48, 64)
_HOW = (
    "give processor=, one of: a transformers image processor, torchvision weights or their "
    "transforms(), a timm transform, a function from a PIL image to a tensor [3, H, W], or "
    "dict(size=224, mean=(...), std=(...))"
)


@dataclass(frozen=True)
class Preprocess:
    """From an RGB picture to pixels [3, H, W] as the model takes them, and back.

    Whatever the preprocessing is made of, its colours are found by asking it: black and white
    pictures give the bounds, a red one the order of the channels.  So ``low`` and ``high`` are the
    bounds of the z-box rule, and pixel = (value / 255 - mean) / std per channel.

    Attributes:
        function: the given callable.
        low, high: [3] float32, the pixels of black and of white.
        order: which of red, green, blue each channel is; (0, 1, 2), or (2, 1, 0) for BGR models.
    """

    function: Callable[[Image], Tensor]
    low: Tensor
    high: Tensor
    order: tuple[int, int, int] = (0, 1, 2)

    @property
    def mean(self) -> Tensor:
        """[3], in the model's order of channels, for pixels within 0..1."""
        return -self.low * self.std

    @property
    def std(self) -> Tensor:
        """[3], in the model's order of channels, for pixels within 0..1."""
        return 1 / (self.high - self.low)

    def __call__(self, image: Image) -> Tensor:
        """[3, H, W] float32."""
        return self.function(image)

    def view(self, pixels: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """What the model saw, [H, W, 3] uint8 RGB, of ``pixels`` [3, H, W]."""
        low, high = (
            b.to(pixels.device, torch.float32)[:, None, None] for b in (self.low, self.high)
        )
        unit = ((pixels.detach().float() - low) / (high - low)).clamp(0, 1)
        rgb = unit[torch.tensor([self.order.index(i) for i in range(3)], device=unit.device)]
        shown: np.ndarray[Any, np.dtype[np.uint8]] = (
            (rgb * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        )
        return shown

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """``low`` and ``high`` as [3, 1, 1], which broadcast to pixels."""
        return self.low[:, None, None], self.high[:, None, None]

    @staticmethod
    def of(processor: Any) -> Preprocess:
        """The preprocessing of anything that says how images are prepared.

        Args:
            processor: a transformers image processor, a torchvision weights member, a callable
                from a PIL image to a tensor [3, H, W] or [1, 3, H, W], or a dict of ``size`` (a
                side, or (height, width)), ``mean`` and ``std``.

        Raises:
            InputError: for anything else, and for a callable whose pixels are not an affine
                function of each colour.
        """
        if isinstance(processor, Preprocess):
            return processor
        return _asked(_function_of(processor))


def _function_of(processor: Any) -> Callable[[Image], Tensor]:
    if isinstance(processor, Mapping):
        return _from_numbers(processor)
    if hasattr(processor, "transforms") and hasattr(processor, "meta"):  # torchvision weights
        return _Called(processor.transforms())
    image_processor = getattr(processor, "image_processor", processor)
    if hasattr(image_processor, "model_input_names") and callable(image_processor):
        return _Called(image_processor, images=True)
    if callable(processor) and not inspect.isclass(processor):
        return _Called(processor)
    raise InputError(f"expected a way to prepare images, got {type(processor).__name__}: {_HOW}")


@dataclass(frozen=True)
class _Called:
    """A callable whose answer is checked: one tensor of three channels."""

    function: Any
    images: bool = False

    def __call__(self, image: Image) -> Tensor:
        made = (
            self.function(images=image, return_tensors="pt")["pixel_values"]
            if self.images
            else self.function(image)
        )
        if isinstance(made, np.ndarray):
            made = torch.from_numpy(made)
        if isinstance(made, Tensor) and made.dim() == 4 and len(made) == 1:
            made = made[0]
        if not (isinstance(made, Tensor) and made.is_floating_point() and made.dim() == 3):
            came = f"{tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
            raise InputError(
                f"expected the processor to give float pixels [3, H, W], got {came}; {_HOW}"
            )
        if made.shape[0] != 3:
            raise InputError(
                f"expected three channels [3, H, W], got {tuple(made.shape)}: lxt.explain explains "
                "models of colour images; for others see lxt.attribute"
            )
        return made.float()


@dataclass(frozen=True)
class _Resized:
    """Bicubic to a size, whole picture, then normalised."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image) -> Tensor:
        from PIL.Image import Resampling

        small = image.resize(self.size[::-1], Resampling.BICUBIC)
        unit = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255).permute(2, 0, 1)
        mean, std = (
            torch.tensor(v, dtype=torch.float32).view(-1, 1, 1) for v in (self.mean, self.std)
        )
        return (unit - mean) / std


def _from_numbers(given: Mapping[str, Any]) -> _Resized:
    unknown = [key for key in given if key not in ("size", "mean", "std")]
    if unknown or "size" not in given:
        raise InputError(
            "a processor as a dict has size (a side, or (height, width)), mean and std, got "
            f"{', '.join(map(str, given)) or 'nothing'}"
        )
    size = given["size"]
    both = (size, size) if isinstance(size, int) else tuple(size)
    if len(both) != 2 or not all(isinstance(s, int) and s > 0 for s in both):
        raise InputError(f"size is a side or (height, width) in pixels, got {size!r}")
    mean, std = (
        _three(name, given.get(name, default)) for name, default in (("mean", 0.0), ("std", 1.0))
    )
    if min(std) <= 0:
        raise InputError(f"std must be positive, got {std}")
    return _Resized((both[0], both[1]), mean, std)


def _three(name: str, value: Any) -> tuple[float, ...]:
    if isinstance(value, int | float):
        return (float(value),) * 3
    if not isinstance(value, Sequence | Tensor | np.ndarray) or len(value) != 3:
        raise InputError(f"{name} is a number or one for each of 3 channels, got {value!r}")
    return tuple(float(v) for v in value)


def _asked(function: Callable[[Image], Tensor]) -> Preprocess:
    """Black, white, grey and the three colours, sent through."""
    from PIL import Image

    def answer(*colour: int) -> Tensor:
        return function(Image.new("RGB", _PROBE, colour)).flatten(1)

    low, high = answer(0, 0, 0).amin(1), answer(255, 255, 255).amax(1)
    if not bool(torch.isfinite(low).all() and torch.isfinite(high).all() and (high > low).all()):
        raise InputError(
            f"the preprocessing maps black to {low.tolist()} and white to {high.tolist()}: "
            f"expected finite pixels, white above black; {_HOW}"
        )
    middle = answer(51, 51, 51).median(1).values
    if not torch.allclose((middle - low) / (high - low), torch.tensor(0.2), atol=0.02):
        raise InputError(
            "the preprocessing is no affine function of each colour, so what the model saw could "
            f"not be shown; {_HOW}"
        )
    order = []
    for channel in range(3):
        pure = [0, 0, 0]
        pure[channel] = 255
        shares = (answer(*pure).median(1).values - low) / (high - low)
        order.append(int(shares.argmax()))
    if sorted(order) != [0, 1, 2]:
        raise InputError(f"the preprocessing mixes the colours of a picture; {_HOW}")
    # order[i]: the channel that colour i goes to; wanted: the colour of each channel
    first, second, third = (order.index(channel) for channel in range(3))
    return Preprocess(function, low, high, (first, second, third))
