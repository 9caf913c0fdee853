"""JSON of an explained image: arrays as base64, pixels as PNG, so that all of it loads back equal.

The fields of :class:`~lxt_like.explanation.ImageData` under their own names.  An array of relevance
is ``{"shape": [...], "float32": base64 of little-endian floats}``; ``pixels`` is base64 of a PNG.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from typing import Any

import numpy as np

from ..errors import InputError, NumericalError
from ..explanation import Array, ImageData, LayerMap, Side
from .checked import Node, read_string, shown
from .contradictions import refuse_image
from .json_parts import (
    decode_account,
    decode_target,
    encode_account,
    encode_target,
    number,
    string,
)

MOST = 100_000_000
"""Numbers in one array: a document that promises more is refused before memory is taken."""


def encode_image(data: ImageData) -> dict[str, Any]:
    """An explained image as a JSON object; NumericalError for NaN and infinity."""
    return {
        "pixels": _png(data.pixels),
        "channels": _floats("the relevance", data.channels),
        "cell": [*data.cell],
        "grid": [*data.grid],
        "target": encode_target(data.target),
        "top": [encode_target(one) for one in data.top],
        "account": None if data.account is None else encode_account(data.account),
        "layers": [
            {
                "name": string(layer.name),
                "patches": _floats(f"the relevance at {layer.name}", layer.patches),
                "special": number("a layer's special tokens", layer.special),
            }
            for layer in data.layers
        ],
        "sides": [
            {
                "label": string(side.label),
                "score": number("a side's score", side.score),
                "relevance": _floats("a side's relevance", side.relevance),
            }
            for side in data.sides
        ],
        "name": string(data.name),
        "model": string(data.model),
        "composite": string(data.composite),
        "notes": [string(note) for note in data.notes],
    }


_FIELDS = (
    *("pixels", "channels", "cell", "grid", "target", "top", "account", "layers", "sides"),
    *("name", "model", "composite", "notes"),
)


def decode_image(value: object, where: str) -> ImageData:
    """What :func:`encode_image` made; InputError, with the place, for anything else."""
    node = Node(value, where, _FIELDS)
    account = node.value["account"]
    pixels = _pixels(node.string("pixels"), node.path("pixels"))
    data = ImageData(
        pixels=pixels,
        channels=_array(node.value["channels"], node.path("channels"), 3),
        cell=_two(node, "cell"),
        grid=_two(node, "grid"),
        target=decode_target(node.value["target"], node.path("target")),
        top=tuple(node.items("top", decode_target)),
        account=None if account is None else decode_account(account, node.path("account")),
        layers=tuple(node.items("layers", _layer)),
        sides=tuple(node.items("sides", _side)),
        name=node.string("name"),
        model=node.string("model"),
        composite=node.string("composite"),
        notes=tuple(node.items("notes", read_string)),
    )
    _check(data, where)
    refuse_image(data, where)
    return data


def _check(data: ImageData, where: str) -> None:
    """Raise InputError unless the parts fit each other."""
    height, width = data.pixels.shape[:2]
    for name, shape in (
        ("channels", data.channels.shape[1:]),
        *(("sides", side.relevance.shape) for side in data.sides),
    ):
        if shape != (height, width):
            raise InputError(f"{where}.{name}: {shape} does not fit the {height} x {width} pixels")
    if any(
        (count - 1) * cell >= side
        for count, cell, side in zip(data.grid, data.cell, (height, width), strict=True)
    ):
        raise InputError(
            f"{where}.grid: {data.grid} cells of {data.cell} do not fit {height} x {width} pixels"
        )


def _png(pixels: Array) -> str:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def _pixels(text: str, where: str) -> Array:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(_bytes(text, where)), formats=("PNG",))
        if image.mode != "RGB" or image.size[0] * image.size[1] > MOST:
            raise InputError(f"{where}: expected an RGB picture, got {image.mode} {image.size}")
        return np.array(image)
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: expected a PNG picture ({error})") from error


def _floats(what: str, values: Array) -> dict[str, Any]:
    if not np.isfinite(values).all():
        raise NumericalError(
            f"{what} holds NaN or infinity; JSON has only finite numbers: look for NaN in the "
            "model's weights or an overflow"
        )
    data = np.ascontiguousarray(values, dtype="<f4").tobytes()
    return {"shape": [*values.shape], "float32": base64.b64encode(data).decode()}


def _array(value: object, where: str, dims: int) -> Array:
    node = Node(value, where, ("shape", "float32"))
    shape = tuple(node.items("shape", _whole))
    data = _bytes(node.string("float32"), node.path("float32"))
    if len(shape) != dims or math.prod(shape) > MOST or 4 * math.prod(shape) != len(data):
        raise InputError(f"{where}: {len(data)} bytes do not make an array of shape {shape}")
    values = np.frombuffer(data, dtype="<f4").reshape(shape).astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{where}: expected finite numbers only")
    return values


def _bytes(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{where}: expected base64 ({error})") from error


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{where}: expected a whole number >= 1, got {shown(value)}")
    return value


def _two(node: Node, name: str) -> tuple[int, int]:
    found = node.items(name, _whole)
    if len(found) != 2:
        raise InputError(f"{node.path(name)}: expected two numbers, got {len(found)}")
    return found[0], found[1]


def _layer(value: object, where: str) -> LayerMap:
    node = Node(value, where, ("name", "patches", "special"))
    patches = _array(node.value["patches"], node.path("patches"), 2)
    return LayerMap(node.string("name"), patches, node.real("special"))


def _side(value: object, where: str) -> Side:
    node = Node(value, where, ("label", "score", "relevance"))
    relevance = _array(node.value["relevance"], node.path("relevance"), 2)
    return Side(node.string("label"), node.real("score"), relevance)
