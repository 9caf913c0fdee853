"""Which tensors depend on the explained input.

What requires grad does, unless all of it goes back to parameters, or to other leaves than those
that were given to be explained: masked, pruned, parametrised or split, a weight is a weight still,
whether or not it is frozen.  Autograd's graph knows.  What is explained, one call of a model knows:
in the next call the same tensor may be a constant.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

Node = Any  # torch.autograd.graph.Node

_LIVE = "lxt_live"  # what is known of a node: +number or -number, in the call of that number
_GIVEN = "lxt_given"  # the numbers of the calls that explain it
_BEGINS = "lxt_begins"  # the number of the call in which a signal begins there

_numbers = itertools.count(1)
_calls: WeakValueDictionary[int, Explained] = WeakValueDictionary()


class Explained:
    """What one call of a model explains, for as long as somebody may ask.

    Attributes:
        named: it was named, tensor by tensor: every other leaf is a weight.
        held: the nodes of what is explained, while the model runs: those of leaves would be
            forgotten before there is a graph, which keeps them from then on.
    """

    __slots__ = ("__weakref__", "held", "named", "number")

    def __init__(self, named: bool = False) -> None:
        self.named = named
        self.number = next(_numbers)
        self.held: list[Node] = []
        _calls[self.number] = self

    def add(self, t: Tensor) -> None:
        """``t``, which requires grad, is explained, wherever it comes from.

        What is behind it is none of the model's: neither looked into nor judged.
        """
        node = _node_of(t)
        before = node.metadata.get(_GIVEN, ())
        node.metadata[_GIVEN] = (*(n for n in before if n in _calls), self.number)
        node.metadata[_LIVE] = self.number
        self.held.append(node)

    def begin(self, t: Tensor) -> None:
        """A signal begins at ``t``, which an operation of the model made."""
        metadata = _node_of(t).metadata
        metadata[_BEGINS] = metadata[_LIVE] = self.number

    def __contains__(self, node: Node) -> bool:
        return self.number in node.metadata.get(_GIVEN, ())


class _Look(threading.local):
    """How this thread tells signals from weights."""

    frozen = False  # all parameters are taken to be frozen: no look at the graph
    explained = Explained()


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
def explaining(what: Explained) -> Iterator[None]:
    """Signals are what depends on ``what``."""
    before, _look.explained = _look.explained, what
    try:
        yield
    finally:
        _look.explained = before


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
    what = _look.explained
    return isinstance(t, nn.Parameter) or (what.named and _node_of(t) not in what)


def is_weight(t: Any) -> bool:
    """A parameter, or what requires grad because of parameters alone."""
    return isinstance(t, nn.Parameter) or (
        isinstance(t, Tensor) and t.requires_grad and not is_active(t)
    )


def explain_at(t: Tensor) -> Node:
    """Explain ``t`` in what is being explained; its node, to be kept until there is a graph."""
    _look.explained.add(t)
    return _node_of(t)


def is_explained(node: Node) -> bool:
    """Whether ``node`` is that of a tensor that is being explained."""
    return node in _look.explained


def beginnings() -> frozenset[Node]:
    """The nodes of what is being explained: the model begins behind them."""
    return frozenset(_look.explained.held)


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
    """Whether anything but parameters is behind ``node``; each node is looked at once a call."""
    number = _look.explained.number
    metadata = node.metadata
    known = _known(node, number)
    if known is not None:
        return known
    for before, _ in node.next_functions:  # most often it is known there
        if before is not None and before.metadata.get(_LIVE) == number:
            metadata[_LIVE] = number
            return True
    path: list[tuple[Node, Iterator[tuple[Node | None, int]]]] = [(node, _before(node))]
    while path:
        here, rest = path[-1]
        for before, _ in rest:
            found = False if before is None else _known(before, number)
            if found is None:
                path.append((before, _before(before)))
                break
            if found:
                for seen, _ in path:
                    seen.metadata[_LIVE] = number
                return True
        else:
            here.metadata[_LIVE] = -number
            path.pop()
    return False


def _before(node: Node) -> Iterator[tuple[Node | None, int]]:
    return iter(node.next_functions)


def _known(node: Node, number: int) -> bool | None:
    metadata = node.metadata
    found = metadata.get(_LIVE)
    if found == number:
        return True
    if found == -number:
        return False
    if number in metadata.get(_GIVEN, ()) or metadata.get(_BEGINS) == number:
        return True
    if all(n is None for n, _ in node.next_functions):
        leaf = getattr(node, "variable", None)
        return leaf is None or not (isinstance(leaf, nn.Parameter) or _look.explained.named)
    return None
