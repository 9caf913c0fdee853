"""Fonts for figures: which ones are here, what they cover, how wide a text is.

matplotlib always brings DejaVu Sans; what it lacks (Chinese, Japanese, emoji, ...) is taken
from the first font of the machine that has it, and shown as an empty box if none has.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from .wrapping import clusters

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

BASE = "DejaVu Sans"

FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP",
    "Noto Sans KR", "Source Han Sans SC", "Source Han Sans", "PingFang SC", "PingFang HK",
    "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic",
    "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "SimHei", "Noto Sans Thai",
    "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Arabic",
    "Noto Sans Hebrew", "Nirmala UI", "Arial Unicode MS", "Noto Emoji", "Segoe UI Emoji",
    "Segoe UI Symbol", "Symbola", "FreeSerif", "Unifont",
)  # fmt: skip
"""Tried in this order after DejaVu Sans; those that are not installed are passed over."""

MISSING = "□"

_MEASURE_DPI = 720.0  # ten pixels a point: widths finer than any output needs
_INVISIBLE = frozenset({0x200C, 0x200D, *range(0xFE00, 0xFE10), *range(0xE0020, 0xE0080)})


@cache
def families() -> tuple[str, ...]:
    """The installed fonts of :data:`FALLBACKS`, behind DejaVu Sans."""
    from matplotlib.font_manager import fontManager

    known = set(fontManager.get_font_names())
    return (BASE, *(name for name in FALLBACKS if name in known))


@cache
def properties(size: float, bold: bool = False) -> FontProperties:
    """Font properties of a size in points."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=list(families()), size=size, weight="bold" if bold else "normal")


@cache
def _covered(bold: bool) -> frozenset[int]:
    """Code points for which one of the fonts has a glyph."""
    from matplotlib.font_manager import FontProperties, fontManager, get_font

    weight = "bold" if bold else "normal"
    codes: set[int] = set()
    for family in families():
        path = fontManager.findfont(FontProperties(family=family, weight=weight))
        codes.update(get_font(path).get_charmap())
    return frozenset(codes)


def printable(text: str, bold: bool = False) -> str:
    """``text`` with every character that no font can show replaced by one empty box."""
    covered = _covered(bold)
    if all(ord(char) in covered for char in text):
        return text
    parts = []
    for cluster in clusters(text):
        codes = [ord(char) for char in cluster if ord(char) not in _INVISIBLE]
        if all(code in covered for code in codes):
            parts.append("".join(map(chr, codes)))
        else:
            parts.append(MISSING)
    return "".join(parts)


def has_missing(text: str) -> bool:
    """Whether a character of ``text`` will be shown as :data:`MISSING`."""
    covered = _covered(False)
    return any(ord(c) not in covered and ord(c) not in _INVISIBLE for c in text)


@cache
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(16, 16, _MEASURE_DPI)


@lru_cache(maxsize=65536)
def measure(text: str, size: float, bold: bool = False) -> float:
    """Width of :func:`printable` text in points, spaces at its ends included."""
    shown = printable(text, bold)
    if not shown:
        return 0.0
    width, _, _ = _renderer().get_text_width_height_descent(shown, properties(size, bold), False)
    return float(width) * 72.0 / _MEASURE_DPI
