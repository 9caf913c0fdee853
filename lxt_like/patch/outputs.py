"""Which tensors of a model's output can be explained."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..intercept.names import follow, words

_ASIDE = frozenset({"loss", "losses", "attentions", "aux", "auxiliary"})


def _is_aside(key: str) -> bool:
    found = words(key)
    return (
        not _ASIDE.isdisjoint(found)
        or follow(found, "router", "logits")
        or follow(found, "past", "key", "values")
    )


def tensors_of(out: Any) -> list[Tensor]:
    """Every differentiable tensor in a module's output."""
    if isinstance(out, Tensor):
        return [out] if out.grad_fn is not None else []
    if isinstance(out, dict):
        return [t for v in out.values() for t in tensors_of(v)]
    if isinstance(out, (tuple, list)):
        return [t for v in out for t in tensors_of(v)]
    return []


def explained_outputs(out: Any) -> list[Tensor]:
    """The outputs a user would explain: the logits, else all but losses and attention maps."""
    if isinstance(out, dict):
        if isinstance(out.get("logits"), Tensor):
            return tensors_of(out["logits"])
        return [t for key, v in out.items() if not _is_aside(str(key)) for t in tensors_of(v)]
    return tensors_of(out)
