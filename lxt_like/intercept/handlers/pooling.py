"""Pooling and maxima: the plain gradient is the rule."""

from __future__ import annotations

from ..registry import functions, register

_NAMES = """
    max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    amax amin max min maximum minimum interpolate pad upsample
""".split()

register("pooling", [n for n in _NAMES if functions(n)])
