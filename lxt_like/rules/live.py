"""Which tensors depend on the explained input.

What requires grad does, unless all of it goes back to parameters: masked, pruned, parametrised or
split, a weight is a weight still, whether or not it is frozen.  Autograd's graph knows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Node = Any  # torch.autograd.graph.Node

_LIVE = "lxt_live"


class _Trust(threading.local):
    """Whether all parameters are taken to be frozen in this thread."""

    on = False


_trust = _Trust()


@contextmanager
def all_frozen(on: bool) -> Iterator[None]:
    """What requires grad depends on the input: no look at the graph, which is left for later.

    A parameter that the model does not own may not be frozen; the walk tells.
    """
    before, _trust.on = _trust.on, on
    try:
        yield
    finally:
        _trust.on = before


def is_active(t: Any) -> bool:
    """Whether ``t`` is a tensor that depends on the explained input."""
    if not isinstance(t, Tensor) or not t.requires_grad:
        return False
    if _trust.on:
        return not isinstance(t, nn.Parameter)
    node: Node = t.grad_fn
    return not isinstance(t, nn.Parameter) if node is None else is_live(node)


def is_weight(t: Any) -> bool:
    """A parameter, or what requires grad because of parameters alone."""
    return isinstance(t, nn.Parameter) or (
        isinstance(t, Tensor) and t.requires_grad and not is_active(t)
    )


def explain_at(t: Any) -> None:
    """``t`` is what is explained, or part of it, even if it was computed from parameters."""
    node: Node = getattr(t, "grad_fn", None)
    if node is not None:
        node.metadata[_LIVE] = True


def is_live(node: Node) -> bool:
    """Whether anything but parameters is behind ``node``; each node is looked at once."""
    metadata = node.metadata
    known: bool | None = metadata.get(_LIVE)
    if known is not None:
        return known
    for before, _ in node.next_functions:  # most often it is known there
        if before is not None and before.metadata.get(_LIVE):
            metadata[_LIVE] = True
            return True
    known = _known(node)
    if known is not None:
        return known
    path: list[tuple[Node, Iterator[tuple[Node | None, int]]]] = [(node, _before(node))]
    while path:
        here, rest = path[-1]
        for before, _ in rest:
            found = False if before is None else _known(before)
            if found is None:
                path.append((before, _before(before)))
                break
            if found:
                for seen, _ in path:
                    seen.metadata[_LIVE] = True
                return True
        else:
            here.metadata[_LIVE] = False
            path.pop()
    return False


def _before(node: Node) -> Iterator[tuple[Node | None, int]]:
    return iter(node.next_functions)


def _known(node: Node) -> bool | None:
    found: bool | None = node.metadata.get(_LIVE)
    if found is None and all(n is None for n, _ in node.next_functions):
        return not isinstance(getattr(node, "variable", None), nn.Parameter)
    return found
