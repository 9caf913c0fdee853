"""Looking inside while a patched model runs: named layers, attention heads, masks."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
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
from .rules.base import consumer
from .rules.live import all_frozen, is_active


class AnyOf(tuple[str, ...]):
    """Names and globs of modules of which some may show nothing, as long as one does."""


class _Watched:
    """A hidden tensor, the gradient that arrives at it, and what is handed past it to the input."""

    def __init__(self, value: Tensor) -> None:
        self.value = value.detach().clone()
        self.grad: Tensor | None = None
        self.handed: Tensor | None = None
        value.register_hook(self._on_grad)
        mate = twin(value)
        if mate is not None:
            mate.tensor.register_hook(self._on_handed)

    def _on_grad(self, g: Tensor | None) -> None:
        if g is not None:  # a rule of the first layer leaves none
            self.grad = g.detach() if self.grad is None else self.grad + g.detach()

    def _on_handed(self, r: Tensor) -> None:
        self.handed = r.detach() if self.handed is None else self.handed + r.detach()

    def forget(self) -> None:
        self.grad = self.handed = None

    def relevance(self) -> Tensor:
        if self.grad is None:  # not on the path: nothing arrived
            found = torch.zeros_like(contribution(upcast(self.value), self.value))
        else:
            found = contribution(upcast(self.value), upcast(self.grad))
        return found if self.handed is None else found + self.handed


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
        modules = dict(model.named_modules()) if wanted else {}
        for pattern in wanted:
            if not any(_match(path, pattern) for path in modules):
                near = [p for p in modules if p.count(".") <= 2 and p][:12]
                raise InputError(
                    f"no module matches the layer {pattern!r}; the model has {', '.join(near)}, ..."
                )
        # a list of modules never runs: the heads in it say in which of its modules they are
        self._lists = tuple(
            f"{path}."
            for path, module in modules.items()
            if isinstance(module, (nn.ModuleList, nn.ModuleDict))
            and any(_match(path, p) for p in self.patterns)
        )
        self._any = isinstance(layers, AnyOf)
        self._layers: dict[str, _Watched] = {}
        self._heads: dict[str, _Watched] = {}
        self._seen: set[str] = set()  # patterns that met something to look at
        self._missed: dict[str, str] = {}  # pattern -> why a module that it names showed nothing

    def restart(self) -> None:
        """Forget a forward: it is run once more."""
        for found in (self._layers, self._heads, self._seen, self._missed):
            found.clear()

    def forget(self) -> None:
        """Forget what a backward left: it is run anew."""
        for watched in (*self._layers.values(), *self._heads.values()):
            watched.forget()

    def check(self) -> None:
        """Raise for what the forward has not shown: a mask would do nothing, a layer be missing."""
        missing = [("masks", p) for p in self.masks if p not in self._seen]
        if not (self._any and self._seen.intersection(self.patterns)):
            missing += [("layers", p) for p in self.patterns if p not in self._seen]
        for argument, pattern in missing:
            why = self._missed.get(pattern, f"no module that {pattern!r} names ran in this forward")
            raise InputError(f"{argument}: nothing to look at in {pattern!r}: {why}")

    def watches(self, path: str, module: nn.Module) -> bool:
        """Whether this module's output is of interest."""
        if self.inputs.is_embedding(module) or path.startswith(self._lists):
            return True
        return any(_match(path, p) for p in (*self.patterns, *self.masks))

    def on_exit(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> Any:
        """Called with each module's output; returns what the model goes on with."""
        out = self.inputs.on_exit(module, args, kwargs, out)
        if not (self.patterns or self.masks):
            return out
        masks = [pattern for pattern in self.masks if _match(path, pattern)]
        layers = [pattern for pattern in self.patterns if _match(path, pattern)]
        if not (masks or layers):
            return out
        found = _signal(out)
        if found is None:
            self._missed.update(dict.fromkeys((*masks, *layers), _no_signal(path, out)))
            return out
        self._seen.update(masks, layers)
        at, hidden = found
        if not masks:  # a module may return its own input, which others read as well
            hidden = _copy(hidden)
        for pattern in masks:
            hidden = self._masked(path, hidden, self.masks[pattern])
        if layers:
            self._layers[_free(path, self._layers)] = _Watched(hidden)
        return _with(out, at, hidden)

    def on_again(self, path: str) -> None:
        """Called when a module runs once more because the graph of its forward was not kept.

        Raises:
            InputError: its output is of interest.  What is computed again comes in the order of
                the backward, in each backward anew: no telling which run of the module it is.
        """
        for argument, patterns in (("masks", self.masks), ("layers", self.patterns)):
            for pattern in patterns:
                if _match(path, pattern):
                    raise InputError(f"{argument}: nothing to look at in {path!r}: {_REENTRANT}")

    def on_count(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> Any:
        """The same in a forward that only counts operations: nothing is kept."""
        return self.inputs.on_count(module, args, kwargs, out)

    def on_heads(self, path: str, out: Tensor) -> None:
        """Called with each attention's output [batch, heads, tokens, dim]."""
        patterns = [p for p in self.patterns if _inside(path, p)] if _is_signal(out) else []
        if patterns:
            self._seen.update(patterns)
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
        mate = twin(v)
        if mate is not None:
            assert mate.tensor.grad_fn is not None
            kind = mate.tensor.dtype
            one = torch.ones((), dtype=kind, device=hidden.device)
            mate.tensor.grad_fn.register_prehook(
                partial(self._on_mask, record, one, factor.to(kind))
            )
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
    found = twin(t)
    if found is not None:
        put_twin(v, replace(found, tensor=consumer(found.tensor)))
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


_REENTRANT = (
    "it runs in a gradient checkpoint with use_reentrant=True, which keeps no graph of its "
    "forward; checkpoint with use_reentrant=False"
)


def _no_signal(path: str, out: Any) -> str:
    """Why there is nothing to look at in what the module at ``path`` returned."""
    name = repr(path) if path else "the model"
    if not any(isinstance(t, Tensor) for _, t in _parts(out)):
        return f"{name} returns no tensor, and none in a tuple, list or mapping: {type(out)!r}"
    if not torch.is_grad_enabled():
        return (
            f"{name} runs where gradients are switched off: under torch.no_grad(), or in a "
            "gradient checkpoint, which then needs use_reentrant=False"
        )
    return f"nothing that {name} returns depends on what is explained"


def _parts(out: Any) -> list[tuple[Any, Any]]:
    """What a module returned, part by part, each with its place."""
    if isinstance(out, Mapping):
        return list(out.items())
    return list(enumerate(out)) if isinstance(out, (tuple, list)) else [(None, out)]


def _signal(out: Any) -> tuple[Any, Tensor] | None:
    """The first tensor of a module's output that takes relevance, and its place."""
    return next(((at, t) for at, t in _parts(out) if _is_signal(t)), None)


def _is_signal(t: Any) -> bool:
    """Whether ``t`` depends on what is explained, by the graph: weights may require grad, too."""
    with all_frozen(False):
        return is_active(t)


def _with(out: Any, at: Any, new: Tensor) -> Any:
    """A module's output with another tensor at a place."""
    if at is None:
        return new
    if isinstance(out, Mapping):
        out[at] = new  # type: ignore[index]
        return out
    items = list(out)
    items[at] = new
    if hasattr(out, "_make"):  # a named tuple
        return out._make(items)
    return type(out)(items)
