"""Which tensors depend on the explained input.

What requires grad does, unless all of it goes back to parameters, or to other leaves than those
that were given to be explained: masked, pruned, parametrised or split, a weight is a weight still,
whether or not it is frozen.  Autograd's graph knows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Node = Any  # torch.autograd.graph.Node

_LIVE = "lxt_live"


class _Look(threading.local):
    """How this thread tells signals from weights."""

    frozen = False  # all parameters are taken to be frozen: no look at the graph
    named = False  # what is explained was named: every other leaf is a weight


_look = _Look()


@contextmanager
def all_frozen(on: bool) -> Iterator[None]:
    """What requires grad depends on the input: no look at the graph, which is left for later.

    A weight that the model does not own may not be frozen: who meets one must say so.
    """
    before, _look.frozen = _look.frozen, on
    try:
        yield
    finally:
        _look.frozen = before


@contextmanager
def all_named(on: bool) -> Iterator[None]:
    """What is explained went through :func:`explain_at`: any other leaf is a weight."""
    before, _look.named = _look.named, on
    try:
        yield
    finally:
        _look.named = before


def trusts() -> bool:
    """Whether :func:`all_frozen` is on."""
    return _look.frozen


def is_active(t: Any) -> bool:
    """Whether ``t`` is a tensor that depends on the explained input."""
    if not isinstance(t, Tensor) or not t.requires_grad:
        return False
    if _look.frozen:
        return not isinstance(t, nn.Parameter)
    node: Node = t.grad_fn
    return not is_weight_leaf(t) if node is None else is_live(node)


def is_weight_leaf(t: Tensor) -> bool:
    """Whether a leaf that requires grad is a weight."""
    return isinstance(t, nn.Parameter) or (_look.named and not was_explained(_node_of(t)))


def is_weight(t: Any) -> bool:
    """A parameter, or what requires grad because of parameters alone."""
    return isinstance(t, nn.Parameter) or (
        isinstance(t, Tensor) and t.requires_grad and not is_active(t)
    )


def explain_at(t: Tensor) -> Node:
    """``t``, which requires grad, is what is explained, or part of it, wherever it comes from.

    Returns its node, to be kept until there is a graph: that of a leaf would be forgotten.
    """
    node = _node_of(t)
    node.metadata[_LIVE] = True
    return node


def was_explained(node: Node) -> bool:
    """Whether a leaf's node was explained."""
    return bool(node.metadata.get(_LIVE, False))


def _node_of(t: Tensor) -> Node:
    """The node that made ``t``; of a leaf, that which takes its gradient."""
    node: Node = t.grad_fn
    if node is not None:
        return node
    with torch.inference_mode(False), torch.enable_grad(), torch._C.DisableTorchFunction():
        made: Node = t.view_as(t).grad_fn
    before: Node = None if made is None else made.next_functions[0][0]
    if before is None:  # a view that was taken without gradients
        assert t._base is not None
        return _node_of(t._base)
    return before


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
        leaf = getattr(node, "variable", None)
        return leaf is None or not is_weight_leaf(leaf)
    return found
