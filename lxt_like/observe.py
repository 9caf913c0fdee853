"""Looking inside while a patched model runs: named layers, attention heads, masks."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from einops import reduce
from torch import Tensor, nn

from .errors import InputError
from .intercept.graph import Node, edges_of
from .intercept.measure import Measure
from .intercept.records import Record
from .patch.inputs import Inputs
from .rules.live import all_frozen, is_active
from .watched import Held, Watched, fresh, held_back, share_memory, write_back

Versions = Sequence[tuple[Tensor, int]]


class AnyOf(tuple[str, ...]):
    """Names and globs of modules of which some may show nothing, as long as one does."""


class _Place:
    """Where a watched value stands in the graph; kept here, for what hooks hold lives for ever."""

    __slots__ = ("copy", "key", "path", "seen", "source")

    def __init__(self, key: str, path: str, seen: Watched | Held, given: Tensor, v: Tensor) -> None:
        self.key, self.path, self.seen = key, path, seen
        self.source: tuple[Node, int] = (given.grad_fn, given.output_nr)
        self.copy: Node = v.grad_fn


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
        self._layers: dict[str, Watched] = {}
        self._heads: dict[str, Watched] = {}
        self._seen: set[str] = set()  # patterns that met something to look at
        self._missed: dict[str, str] = {}  # pattern -> why a module that it names showed nothing
        self._places: list[_Place] = []

    def restart(self) -> None:
        """Forget a forward: it is run once more."""
        for found in (self._layers, self._heads, self._seen, self._missed, self._places):
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

    def check_reached(self, score: Tensor) -> None:
        """Leave out, or raise for, what the score passes by: the model reads it elsewhere.

        Called after the backward.
        """
        places = [p for p in self._places if not p.seen.reached and p.source[0] is not None]
        self._places.clear()
        if not places:
            return
        edges = edges_of([score])
        read = {edge for node in edges for edge in node.next_functions}
        for place in places:
            if place.copy in edges or place.source not in read:
                continue  # nothing arrives there, in whatever way
            why = f"nothing to look at in {place.path!r}: {_PASSED_BY}"
            if isinstance(place.seen, Held):
                raise InputError(f"masks: {why}")
            del self._layers[place.key]
            if not all(self._shows(p) for p in self.patterns if _match(place.path, p)):
                raise InputError(f"layers: {why}")

    def _shows(self, pattern: str) -> bool:
        """Whether a layer or head is left that ``pattern`` names, or that is as good."""
        layers = [key.partition(":")[0] for key in self._layers]
        heads = [key.partition(":")[0] for key in self._heads]
        return any(self._any or _match(path, pattern) for path in layers) or any(
            _inside(path, pattern) for path in heads
        )

    def watches(self, path: str, module: nn.Module) -> bool:
        """Whether this module's output is of interest."""
        if self.inputs.is_embedding(module) or path.startswith(self._lists):
            return True
        return any(_match(path, p) for p in (*self.patterns, *self.masks))

    def on_enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Versions:
        """Called with each module's arguments: how often each had been written into before."""
        if not (self.patterns or self.masks):
            return ()
        return [(t, t._version) for t in _tensors((args, kwargs)) if not t.is_inference()]

    def on_exit(
        self,
        path: str,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        before: Versions = (),
    ) -> Any:
        """Called with each module's output; returns what the model goes on with.

        ``before``: what :meth:`on_enter` returned for this call.
        """
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
        v = hidden
        for pattern in masks:
            v, held = self._masked(path, v, self.masks[pattern])
            self._places.append(_Place("", path, held, hidden, v))
        if not masks:  # a module may return its own input, which others read as well
            v = fresh(hidden)
        if layers:
            key = _free(path, self._layers)
            self._layers[key] = Watched(v)
            self._places.append(_Place(key, path, self._layers[key], hidden, v))
        if _overwrote(module, hidden, before):
            write_back(path, v, hidden)
            return out
        return _with(out, at, v)

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
        self,
        path: str,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        before: Versions = (),
    ) -> Any:
        """The same in a forward that only counts operations: nothing is kept."""
        return self.inputs.on_count(module, args, kwargs, out)

    def on_heads(self, path: str, out: Tensor) -> None:
        """Called with each attention's output [batch, heads, tokens, dim]."""
        patterns = [p for p in self.patterns if _inside(path, p)] if _is_signal(out) else []
        if patterns:
            self._seen.update(patterns)
            self._heads[_free(path, self._heads)] = Watched(out)

    def layers(self) -> dict[str, Tensor]:
        """Relevance at the named layers, in their own shapes."""
        return {path: w.relevance() for path, w in self._layers.items()}

    def heads(self) -> dict[str, Tensor]:
        """Relevance of each attention head, [batch, heads, tokens]."""
        return {
            path: reduce(w.relevance(), "b h t d -> b h t", "sum")
            for path, w in self._heads.items()
        }

    def _masked(self, path: str, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Held]:
        if not _fits(mask, hidden):
            raise InputError(
                f"masks: {path} returns {tuple(hidden.shape)}, which a mask of shape "
                f"{tuple(mask.shape)} does not broadcast to"
            )
        record, sums = None, None
        if self.measure is not None:
            record, sums = Record("mask", "mask", path, "masks"), self.measure.sums
            self.measure.records.append(record)
        factor = mask.to(hidden.device, hidden.dtype)
        return held_back(hidden, factor, record, sums)


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


_PASSED_BY = (
    "the model does not go on with what it returns, but reads that value elsewhere; look at a "
    "module that reads it"
)

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


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a module's arguments, also inside tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, Mapping)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)


def _overwrote(module: nn.Module, out: Tensor, before: Versions) -> bool:
    """Whether a module has written its output over its input; an idle dropout might have."""
    own = any(share_memory(out, t) for t, _ in before) and getattr(module, "inplace", False) is True
    return own or any(out._version > n and share_memory(out, t) for t, n in before)


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
