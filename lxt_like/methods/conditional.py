"""Relevance conditioned on chosen channels or neurons, as in concept relevance propagation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..attribution import attribute
from ..composites import Composite
from ..errors import InputError
from ..patch.inputs import module_of
from ..targets import select
from .channels import channel_axis
from .samples import check_count
from .trace import total

Condition = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Conditional:
    """Relevance of the inputs, condition by condition.

    Attributes:
        relevance: [conditions, batch, ...], in the input's shape (per token for token ids); a
            dict by name where a model has several inputs.
        conditions: as given.
        score: [batch], what was explained.
    """

    relevance: Any
    conditions: tuple[Condition, ...]
    score: Tensor

    def totals(self) -> Tensor:
        """The relevance that passes each condition, [conditions, batch]."""
        parts = self.relevance.values() if isinstance(self.relevance, dict) else [self.relevance]
        rows = [total(p.flatten(0, 1)).reshape(p.shape[:2]) for p in parts]
        return sum(rows[1:], rows[0])


def conditional(
    model: Any,
    inputs: Any,
    conditions: Sequence[Condition],
    target: Any = None,
    composite: str | Composite = "attnlrp",
    *,
    axes: Mapping[str, int] | None = None,
    batch_size: int = 64,
    strict: bool = True,
) -> Conditional:
    """Relevance that flows only through the chosen channels, all conditions in one batch.

    A condition names layers and their channels: ``{"layer3": [5]}``; with several layers relevance
    must pass all of them.  Conditions that divide a layer's channels among them add up to the
    relevance without any.

    Args:
        model, inputs, target, composite, strict: as for :func:`lxt.attribute`.  A predicted class
            is that of the unchanged forward, for masks change the backward alone.
        conditions: at least one.
        axes: layer -> dimension of its channels, where it is not 1 for [batch, C, H, W] and the
            last for tokens and features.
        batch_size: rows (conditions x samples) in one forward.

    Raises:
        InputError: for an unknown layer, a channel that it does not have, no condition.

    Source: Achtibat et al. 2023 (concept relevance propagation), Nature Machine Intelligence 5.
    """
    check_count("batch_size", batch_size)
    made = tuple({str(k): list(v) for k, v in c.items()} for c in conditions)
    if not made or not all(made):
        raise InputError("conditions: give at least one, each with a layer and its channels")
    module = module_of(model)
    layers = list(dict.fromkeys(name for c in made for name in c))
    shapes = _shapes(module, inputs, layers, dict(axes or {}))
    rows = _rows(inputs)
    group = max(1, batch_size // rows)
    parts: list[Any] = []
    score = torch.empty(0)
    for start in range(0, len(made), group):
        chosen = made[start : start + group]
        masks = {name: _mask(chosen, name, rows, *shapes[name]) for name in layers}
        repeated = _repeat(inputs, len(chosen), rows)
        found = attribute(
            model,
            repeated,
            select(target, [*range(rows)] * len(chosen), rows),
            composite,
            strict=strict,
            masks=masks,
        )
        _check_rows(found.relevance, len(chosen) * rows, rows)
        parts.append(found.relevance)
        score = found.score[:rows]
    if isinstance(parts[0], dict):
        joined: Any = {n: torch.cat([p[n] for p in parts]) for n in parts[0]}
        joined = {n: r.unflatten(0, (len(made), rows)) for n, r in joined.items()}
    else:
        joined = torch.cat(parts).unflatten(0, (len(made), rows))
    return Conditional(joined, made, score)


def _shapes(
    module: nn.Module, inputs: Any, layers: Sequence[str], axes: dict[str, int]
) -> dict[str, tuple[int, int, int]]:
    """(channels, axis, dimensions) of each layer's output."""
    known = dict(module.named_modules())
    for name in (*layers, *axes):
        if name not in known:
            near = [n for n in known if n and n.count(".") <= 2][:12]
            raise InputError(f"no layer {name!r}; the model has {', '.join(near)}, ...")
    found: dict[str, tuple[int, int, int]] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            out = _first(name, out)
            axis = axes.get(name)
            if axis is None:
                conv1d = isinstance(known[name], (nn.Conv1d, nn.ConvTranspose1d))
                axis = 1 if conv1d else channel_axis(out)
            found[name] = (out.shape[axis], axis % out.dim(), out.dim())

        return hook

    handles = [known[name].register_forward_hook(note(name)) for name in layers]
    try:
        with torch.no_grad():
            module(inputs) if isinstance(inputs, Tensor) else module(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    missing = [name for name in layers if name not in found]
    if missing:
        raise InputError(f"the layer {missing[0]!r} did not run")
    return found


def _first(name: str, out: Any) -> Tensor:
    """The tensor of a module's output that a mask is for."""
    parts = out.values() if isinstance(out, Mapping) else out
    parts = [out] if isinstance(out, Tensor) else parts if isinstance(parts, Iterable) else []
    for part in parts:
        if isinstance(part, Tensor) and part.is_floating_point():
            return part
    raise InputError(f"the layer {name!r} returns no float tensor: {type(out).__name__}")


def _mask(
    conditions: Sequence[Condition], name: str, rows: int, width: int, axis: int, dims: int
) -> Tensor:
    mask = torch.ones(len(conditions), width)
    for row, condition in zip(mask, conditions, strict=True):
        if name not in condition:
            continue
        wrong = [c for c in condition[name] if not -width <= c < width]
        if wrong:
            raise InputError(f"{name!r} has {width} channels, so none is {wrong[0]}")
        row.zero_()
        row[list(condition[name])] = 1.0
    shape = [1] * dims
    shape[0], shape[axis] = len(conditions) * rows, width
    return mask.repeat_interleave(rows, 0).reshape(shape)


def _rows(inputs: Any) -> int:
    if isinstance(inputs, Tensor):
        return len(inputs)
    for value in inputs.values():
        if isinstance(value, Tensor) and value.dim():
            return len(value)
    raise InputError("inputs hold no tensor")


def _check_rows(relevance: Any, want: int, rows: int) -> None:
    for name, part in relevance.items() if isinstance(relevance, dict) else [("", relevance)]:
        if len(part) != want:
            raise InputError(
                f"all conditions run in one batch, and {name or 'the input'} has no row for each "
                f"of the {rows} samples; give it one"
            )


def _repeat(inputs: Any, n: int, rows: int) -> Any:
    if isinstance(inputs, Tensor):
        return inputs.repeat(n, *([1] * (inputs.dim() - 1)))
    return {
        name: _repeat(v, n, rows) if isinstance(v, Tensor) and v.dim() and len(v) == rows else v
        for name, v in inputs.items()
    }
