"""Looking inside while a patched model runs: named layers, attention heads, masks."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from numbers import Real
from typing import Any

import torch
from einops import reduce
from torch import Tensor, nn

from .errors import InputError
from .intercept.measure import Measure, carry_all
from .intercept.records import Record
from .intercept.twins import put_twin, twin
from .numerics import contribution, inner, upcast
from .patch.inputs import Inputs


class _Watched:
    """A hidden tensor and the gradient that arrives at it."""

    def __init__(self, value: Tensor) -> None:
        self.value = value.detach().clone()
        self.grad: Tensor | None = None
        value.register_hook(self._on_grad)

    def _on_grad(self, g: Tensor) -> None:
        self.grad = g.detach() if self.grad is None else self.grad + g.detach()

    def relevance(self) -> Tensor:
        if self.grad is None:  # not on the path: nothing arrived
            return torch.zeros_like(contribution(upcast(self.value), self.value))
        return contribution(upcast(self.value), upcast(self.grad))


class Observer:
    """Catches explained embeddings, named layers and heads as modules return."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        layers: Sequence[str] | None,
        masks: Mapping[str, float | Tensor] | None,
        measure: Measure | None,
    ) -> None:
        self.inputs, self.measure = inputs, measure
        self.patterns = _patterns_of(layers)
        self.masks = _masks_of(masks)
        wanted = (*self.patterns, *self.masks)
        paths = [name for name, _ in model.named_modules()] if wanted else []
        for pattern in wanted:
            if not any(_match(path, pattern) for path in paths):
                near = [p for p in paths if p.count(".") <= 2 and p][:12]
                raise InputError(
                    f"no module matches the layer {pattern!r}; the model has {', '.join(near)}, ..."
                )
        self._layers: dict[str, _Watched] = {}
        self._heads: dict[str, _Watched] = {}

    def restart(self) -> None:
        """Forget a forward: it is run once more."""
        self._layers.clear()
        self._heads.clear()

    def forget(self) -> None:
        """Forget what a backward left: it is run anew."""
        for watched in (*self._layers.values(), *self._heads.values()):
            watched.grad = None

    def watches(self, path: str, module: nn.Module) -> bool:
        """Whether this module's output is of interest."""
        return self.inputs.is_embedding(module) or any(
            _match(path, p) for p in (*self.patterns, *self.masks)
        )

    def on_exit(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> Any:
        """Called with each module's output; returns what the model goes on with."""
        out = self.inputs.on_exit(module, args, kwargs, out)
        if not (self.patterns or self.masks):
            return out
        masks = [mask for pattern, mask in self.masks.items() if _match(path, pattern)]
        watched = any(_match(path, p) for p in self.patterns)
        hidden = _first_tensor(out) if masks or watched else None
        if hidden is None or not hidden.requires_grad:
            return out
        if hidden._is_view() and not masks:  # a view that is written into gets a new node
            hidden = _copy(hidden)
            put_twin(hidden, twin(_first_tensor(out)))
            out = _replace_first(out, hidden)
        for mask in masks:
            hidden = self._masked(path, hidden, mask)
            out = _replace_first(out, hidden)
        if watched:
            self._layers[_free(path, self._layers)] = _Watched(hidden)
        return out

    def on_count(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> Any:
        """The same in a forward that only counts operations: nothing is kept."""
        return self.inputs.on_count(module, args, kwargs, out)

    def on_heads(self, path: str, out: Tensor) -> None:
        """Called with each attention's output [batch, heads, tokens, dim]."""
        if out.requires_grad and any(_inside(path, p) for p in self.patterns):
            self._heads[_free(path, self._heads)] = _Watched(out)

    def layers(self) -> dict[str, Tensor]:
        """Relevance at the named layers, in their own shapes."""
        return {path: w.relevance() for path, w in self._layers.items()}

    def heads(self) -> dict[str, Tensor]:
        """Relevance of each attention head, [batch, heads, tokens]."""
        return {
            path: reduce(w.relevance(), "b h t d -> b h t", "sum")
            for path, w in self._heads.items()
        }

    def _masked(self, path: str, hidden: Tensor, mask: Tensor) -> Tensor:
        if not _fits(mask, hidden):
            raise InputError(
                f"masks: {path} returns {tuple(hidden.shape)}, which a mask of shape "
                f"{tuple(mask.shape)} does not broadcast to"
            )
        record = None
        if self.measure is not None:
            record = Record("mask", "mask", path, "masks")
            self.measure.records.append(record)
        v = _copy(hidden)
        node = v.grad_fn
        assert node is not None
        factor = mask.to(hidden.device, hidden.dtype)
        node.register_prehook(partial(self._on_mask, record, hidden.detach().clone(), factor))
        return v

    def _on_mask(
        self, record: Record | None, value: Tensor, mask: Tensor, grads: tuple[Tensor | None, ...]
    ) -> tuple[Tensor | None, ...]:
        (g,) = grads
        if g is None:
            return grads
        kept = g * mask
        if record is not None and self.measure is not None:
            book = self.measure.sums.book
            book(record.arrived, inner(value, g))
            book(record.passed, inner(value, kept))
            book(record.kept("masked"), inner(value, g * (1 - mask)))
        return (kept,)


def _copy(t: Tensor) -> Tensor:
    """The same value, of the same role, on a node that stays whatever is written into it."""
    v = t.clone()
    carry_all(t, v)
    return v


def _patterns_of(layers: Any) -> tuple[str, ...]:
    if isinstance(layers, str):
        return (layers,)
    found = tuple(layers) if isinstance(layers, Iterable) else (layers,)
    if layers is not None and not all(isinstance(pattern, str) for pattern in found):
        raise InputError(f"layers: expected names or globs of modules, got {layers!r:.200}")
    return () if layers is None else found


def _masks_of(masks: Any) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    if not isinstance(masks, Mapping | None):
        raise InputError(
            "masks: expected a mapping, module name or glob -> factor, got "
            f"{type(masks).__name__}: {masks!r:.200}"
        )
    for pattern, factor in (masks or {}).items():
        if not isinstance(pattern, str):
            raise InputError(f"masks: expected names or globs of modules, got {pattern!r:.200}")
        if isinstance(factor, Real):
            factor = torch.tensor(float(factor), dtype=torch.float64)
        if not isinstance(factor, Tensor):
            raise InputError(
                f"masks: expected a number or a tensor for {pattern!r}, got "
                f"{type(factor).__name__}: {factor!r:.200}"
            )
        made[pattern] = factor
    return made


def _fits(mask: Tensor, hidden: Tensor) -> bool:
    try:
        return bool(torch.broadcast_shapes(mask.shape, hidden.shape) == hidden.shape)
    except RuntimeError:
        return False


def _match(path: str, pattern: str) -> bool:
    return path == pattern or fnmatch.fnmatchcase(path, pattern)


def _inside(path: str, pattern: str) -> bool:
    parts = path.split(".")
    return any(_match(".".join(parts[:n]), pattern) for n in range(len(parts) + 1))


def _free(path: str, taken: Mapping[str, Any]) -> str:
    """A module that runs several times gets ``path``, ``path:1``, ``path:2``, ..."""
    name, n = path, 0
    while name in taken:
        n += 1
        name = f"{path}:{n}"
    return name


def _first_tensor(out: Any) -> Tensor | None:
    if isinstance(out, Tensor):
        return out
    if isinstance(out, Mapping):
        out = tuple(out.values())
    if isinstance(out, (tuple, list)):
        return next((t for t in out if isinstance(t, Tensor)), None)
    return None


def _replace_first(out: Any, new: Tensor) -> Any:
    if isinstance(out, Tensor):
        return new
    if isinstance(out, Mapping):
        key = next(k for k, v in out.items() if isinstance(v, Tensor))
        out[key] = new  # type: ignore[index]
        return out
    items = list(out)
    at = next(i for i, t in enumerate(items) if isinstance(t, Tensor))
    items[at] = new
    if hasattr(out, "_make"):  # a named tuple
        return out._make(items)
    return type(out)(items)
