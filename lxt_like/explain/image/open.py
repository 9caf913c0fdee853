"""Whatever a person has for an image, as an RGB picture; every fault is one clear sentence."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ...errors import InputError
from ...numerics import upcast

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE = 10_000
"""Pixels a side: beyond it a picture takes a gigabyte in memory before it is made small."""

SUFFIXES = tuple(".png .jpg .jpeg .jpe .bmp .gif .tif .tiff .webp .ppm .pgm .avif .jp2".split())
"""What names a file as an image where nothing else does; any format of Pillow can be opened."""

_KEYS = ("image", "img", "pixel_values", "picture", "photo")


@dataclass(frozen=True)
class Opened:
    """An image as RGB, the name it goes by, and what was done to it that a reader should know."""

    image: Image
    name: str = ""
    notes: tuple[str, ...] = ()


def open_image(source: Any) -> Opened:
    """Any image as 8-bit RGB, upright, opaque.

    Args:
        source: a path, a file's bytes, a ``PIL`` image, an array or uint8 tensor ([H, W],
            [H, W, 1 / 3 / 4] or [3, H, W]; uint8, uint16, bool, or float within 0..1), or a row
            of a data set: a dict with one of these under "image", "img" or the like.

    Transparency is laid on white, the rotation that a camera noted is applied, 16 bits become 8,
    and of an animation the first frame is taken, which is noted.

    Raises:
        InputError: no such file, an empty, damaged or truncated one, no image at all, or one
            above 10,000 pixels a side.
    """
    if isinstance(source, Mapping):
        return _of_row(source)
    if isinstance(source, str | os.PathLike):
        return _of_file(Path(os.path.expanduser(source)))
    if isinstance(source, bytes | bytearray):
        return _read(io.BytesIO(bytes(source)), "the given bytes", "")
    if isinstance(source, Tensor | np.ndarray):
        return Opened(_of_array(source))
    if hasattr(source, "getbands") and hasattr(source, "convert"):
        name = Path(str(getattr(source, "filename", "") or "")).name
        return _checked(source, name or "the given image", name)
    raise InputError(
        "expected an image: a path, a PIL image, an array, a tensor or a row of a data set with "
        f"an image, got {type(source).__name__}"
    )


def is_image_like(source: Any) -> bool:
    """Whether ``source`` can only be meant as an image; a ``str`` may be a text as well."""
    if isinstance(source, Mapping):
        found = image_of_row(source)
        return isinstance(found, str | Mapping) or (found is not None and is_image_like(found))
    if isinstance(source, np.ndarray):
        return source.dtype.kind not in "OSTU"  # strings, and objects that may be some
    if isinstance(source, bytes | bytearray | os.PathLike | Tensor):
        return True
    return hasattr(source, "getbands") and hasattr(source, "convert")


def opens(path: Path) -> bool:
    """Whether a file begins as an image of a format that is known, whatever its suffix."""
    from PIL import Image

    try:
        with _no_bomb_warning(), Image.open(path):
            return True
    except Image.DecompressionBombError:
        return True  # an image, and refused where it is read
    except Exception:  # decoders raise anything for a file that is none of theirs
        return False


def image_of_row(row: Mapping[str, Any]) -> Any:
    """What a row of a data set holds as its image, or None."""
    if row.get("bytes") is not None:
        return row["bytes"]
    if "bytes" in row and row.get("path"):
        return row["path"]
    return next((row[key] for key in _KEYS if row.get(key) is not None), None)


def _of_row(row: Mapping[str, Any]) -> Opened:
    found = image_of_row(row)
    if found is None:
        raise InputError(
            f"expected a row with an image under one of {', '.join(_KEYS)}, got a dict of "
            f"{', '.join(map(str, row)) or 'nothing'}"
        )
    return open_image(found)


def _of_file(path: Path) -> Opened:
    name = path.name or str(path)
    try:
        if path.is_dir():
            raise InputError(f"expected an image file, got the folder {str(path)!r}")
        if path.stat().st_size == 0:
            raise InputError(f"{name!r} is an empty file")
        with path.open("rb") as file:
            return _read(file, repr(name), name)
    except FileNotFoundError as error:
        raise InputError(f"no such image file: {str(path)!r}") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {str(path)!r}: {error}") from error


def _read(file: Any, what: str, name: str) -> Opened:
    from PIL import Image, UnidentifiedImageError

    try:
        with _no_bomb_warning():
            image = Image.open(file)
            return _checked(image, what, name)
    except Image.DecompressionBombError as error:
        raise InputError(_too_large(what, "")) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{what} is no image that can be read: its content is of no known format "
            "(is it damaged, or does its suffix lie?)"
        ) from error


@contextmanager
def _no_bomb_warning() -> Iterator[None]:
    """The size is checked by us, before anything is decoded."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _too_large(what: str, size: str) -> str:
    return (
        f"{what} is too large{size}: at most {MAX_SIDE:,} pixels a side are read; make it smaller "
        "first, the model sees a few hundred pixels only"
    )


def _checked(image: Any, what: str, name: str) -> Opened:
    """Size first, since only then decoding is safe; then decoded, upright, RGB."""
    from PIL import Image, ImageOps

    width, height = image.size
    if max(width, height) > MAX_SIDE:
        raise InputError(_too_large(what, f" ({width:,} x {height:,} pixels)"))
    if not width or not height:
        raise InputError(f"{what} has no pixels ({width} x {height})")
    notes: tuple[str, ...] = ()
    try:
        frames = int(getattr(image, "n_frames", 1))
        if frames > 1:
            image.seek(0)
            notes = (f"The image has {frames} frames; the first is explained.",)
        image.load()
        upright = ImageOps.exif_transpose(image)
        return Opened(_rgb(upright if upright is not None else image), name, notes)
    except Image.DecompressionBombError as error:
        raise InputError(_too_large(what, "")) from error
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError) as error:
        # decoders raise any of these for a file that breaks off or is damaged inside
        broken = "breaks off (truncated)" if "truncated" in str(error) else "is damaged"
        raise InputError(f"{what} {broken} and cannot be decoded: {error}") from error


def _rgb(image: Image) -> Image:
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return _grey(np.asarray(image))
    if "A" in image.getbands() or "transparency" in image.info:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, over).convert("RGB")
    return image.convert("RGB")


def _grey(values: np.ndarray[Any, Any]) -> Image:
    """More than 8 bits: whole numbers are of 16 bits if any needs them, floats span 0..1."""
    from PIL import Image

    if not np.isfinite(values).all():
        raise InputError("the image holds NaN or infinity")
    top = float(values.max())
    if values.dtype.kind == "f":
        span = 1.0 if top <= 1 else 255.0 if top <= 255 else 65535.0
    else:
        span = 65535.0 if values.dtype.itemsize == 2 or top > 255 else 255.0
    eight = np.clip(np.round(values.astype(np.float64) / span * 255), 0, 255)
    return Image.fromarray(eight.astype(np.uint8)).convert("RGB")


def _of_array(given: Any) -> Image:
    from PIL import Image

    if isinstance(given, Tensor):  # numpy has no bfloat16
        given = upcast(given.detach().cpu()) if given.is_floating_point() else given.cpu()
    values = np.asarray(given)
    if values.ndim == 3 and values.shape[0] in (1, 3) and values.shape[-1] not in (1, 3, 4):
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or 0 in values.shape or values.shape[2:] not in ((), (3,), (4,)):
        raise InputError(
            f"an image array is [H, W], [H, W, 1, 3 or 4] or [3, H, W], got {values.shape}"
        )
    if max(values.shape[:2]) > MAX_SIDE:
        raise InputError(_too_large("the array", f" {values.shape[:2]}"))
    return _rgb(Image.fromarray(np.ascontiguousarray(_eight_bits(values))))


def _eight_bits(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint16:
        return np.round(values / 257).astype(np.uint8)
    low, high = (float(values.min()), float(values.max())) if values.dtype.kind in "fiu" else (0, 0)
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.round(values * 255).astype(np.uint8)
    if values.dtype.kind in "iu" and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    raise InputError(
        f"an image array holds uint8, or floats within 0..1, got {values.dtype} from {low:.4g} to "
        f"{high:.4g}; pixels that the model's own preprocessing has made go in as a float tensor"
    )
