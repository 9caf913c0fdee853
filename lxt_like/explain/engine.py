"""The one place where explaining meets the attribution engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn


def attribute(
    model: nn.Module,
    inputs: Tensor | Mapping[str, Tensor],
    *,
    target: object,
    composite: Any,
    ledger: bool,
    strict: bool,
    layers: Sequence[str] | None = None,
) -> Any:
    """:func:`lxt_like.attribution.attribute`, imported on first use."""
    from ..attribution import attribute as run

    return run(
        model,
        inputs,
        target=target,
        composite=composite,
        ledger=ledger,
        strict=strict,
        layers=layers,
    )
