"""The shared colour scale: diverging, symmetric about zero, red for, blue against.

Relevances stay raw in the data; here, and only here, they are divided by the largest
absolute word relevance of their text.  Colours are mixed in OKLab (Ottosson 2020,
https://bottosson.github.io/posts/oklab/) so that equal steps in relevance look equal.
Red against blue stays apart under all three common colour vision deficiencies.  The text on
a colour is black or white, whichever contrasts more: one of the two always reaches 4.58:1
(sqrt(1.05 / 0.05)), above the 4.5:1 that WCAG 2 level AA asks for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import NumericalError
from ..explanation import TextData

RGB = tuple[float, float, float]
"""sRGB, each channel in 0..1."""

BLACK: RGB = (0.0, 0.0, 0.0)
WHITE: RGB = (1.0, 1.0, 1.0)


def _from_hex(code: str) -> RGB:
    red, green, blue = (int(code[i : i + 2], 16) / 255.0 for i in (1, 3, 5))
    return red, green, blue


def to_hex(color: RGB) -> str:
    """``#rrggbb`` of an sRGB colour."""
    return "#" + "".join(f"{round(255 * min(max(c, 0.0), 1.0)):02x}" for c in color)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _gamma(channel: float) -> float:
    channel = min(max(channel, 0.0), 1.0)
    return 12.92 * channel if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055


def _oklab(color: RGB) -> RGB:
    r, g, b = (_linear(c) for c in color)
    long = math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
    medium = math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    short = math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _srgb(lab: RGB) -> RGB:
    light, a, b = lab
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _gamma(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _gamma(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _gamma(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def luminance(color: RGB) -> float:
    """Relative luminance of WCAG 2: 0 for black, 1 for white."""
    r, g, b = (_linear(c) for c in color)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: RGB, other: RGB) -> float:
    """Contrast ratio of WCAG 2, from 1 to 21; normal text needs 4.5 (level AA)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink(background: RGB) -> RGB:
    """Black or white, whichever is easier to read on ``background``."""
    return BLACK if contrast(BLACK, background) >= contrast(WHITE, background) else WHITE


@dataclass(frozen=True, slots=True)
class ColorScale:
    """A diverging scale: ``negative`` at -1, ``neutral`` at 0, ``positive`` at +1 (sRGB hex)."""

    name: str
    negative: str
    neutral: str
    positive: str

    def __call__(self, value: float) -> RGB:
        """The background colour of a relevance already normalised; clipped to -1..1."""
        if not math.isfinite(value):
            raise NumericalError(f"a colour needs a finite relevance, got {value}")
        value = min(max(value, -1.0), 1.0)
        end = _oklab(_from_hex(self.positive if value >= 0 else self.negative))
        start = _oklab(_from_hex(self.neutral))
        share = abs(value)
        light, a, b = (s + share * (e - s) for s, e in zip(start, end, strict=True))
        return _srgb((light, a, b))


LIGHT = ColorScale("light", negative="#1b5fb4", neutral="#ffffff", positive="#c5221f")
"""For light pages and paper: white to deep red or blue."""

DARK = ColorScale("dark", negative="#6cb0ff", neutral="#1b1f24", positive="#ff7a6e")
"""For dark pages: the card's own grey to bright red or blue."""

ANY = ColorScale("any", negative="#1565d8", neutral="#6f7276", positive="#d0281f")
"""For terminals, whose background is unknown: about the same lightness throughout, in the
middle between black and white; relevance is the saturation."""


def largest(data: TextData) -> float:
    """The largest absolute word relevance of a text, by which its colours are divided.

    Falls back to the tokens where there are no words; 0.0 where there is nothing.
    Raises NumericalError if any relevance is NaN or infinite.
    """
    _check_finite("word", [(word.text, word.relevance) for word in data.words])
    _check_finite("token", [(token.text, token.relevance) for token in data.tokens])
    items = [word.relevance for word in data.words] or [token.relevance for token in data.tokens]
    return max(map(abs, items), default=0.0)


def _check_finite(what: str, items: Sequence[tuple[str, float]]) -> None:
    for index, (text, relevance) in enumerate(items):
        if not math.isfinite(relevance):
            raise NumericalError(
                f"the relevance of {what} {index} ({text[:40]!a}) is {relevance}; only finite "
                "relevances can be shown: look for NaN in the model's weights or an overflow"
            )


def normalise(relevance: float, scale: float) -> float:
    """``relevance / scale`` clipped to -1..1; 0 where the scale is 0 (nothing is relevant)."""
    if not math.isfinite(relevance):
        raise NumericalError(f"a colour needs a finite relevance, got {relevance}")
    return 0.0 if scale == 0.0 else min(max(relevance / scale, -1.0), 1.0)
