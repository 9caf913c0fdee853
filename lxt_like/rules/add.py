"""The rule for sums: residual connections, biases, position embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .base import Rule


@dataclass(frozen=True)
class Proportional(Rule):
    """Every addend takes its own contribution.

    Formula: for z = a + b, R_a = a g and R_b = b g, the plain gradient.  An addend that does not
    depend on the explained input is declared: ``position``, ``token_type`` or ``constant``.

    Use: residual connections, concatenations, everything that is linear in all its operands.
    Source: Bach et al. 2015; Ali et al. 2022.
    """

    kinds: ClassVar[frozenset[str]] = frozenset({"add"})
