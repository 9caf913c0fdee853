"""The rule for pooling and maxima."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Rule


@dataclass(frozen=True)
class WinnerTakesAll(Rule):
    """Max pooling gives everything to the winner; average pooling is linear.

    Formula: R_i = R_j for the i that won j.  That is the plain gradient, so nothing is
    changed.  ``amax`` and full reductions by ``max()`` split ties evenly; ``max_pool`` and
    ``max(dim)`` give a tie to the one index they return.

    Use: everywhere.
    Source: Montavon et al. 2019, section 10.3.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"pooling"})
