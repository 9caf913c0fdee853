"""BatchNorm merged on the fly into the linear operation before it.

The operation runs before its BatchNorm is known, so the rule binds in the backward; whether
anything else reads the operation's output is known once the graph is complete.  Between the two the
output may be copied and moved (flattened, transposed), as long as the BatchNorm has one scale for
each of the operation's channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from ..rules.linear import Operation
from ..rules.maps import Stacked
from .graph import Node, edges_of, short_name

_MOVES = frozenset(
    """
    Alias Clone Permute Reshape ReshapeAlias Squeeze T ToCopy Transpose UnsafeView Unsqueeze View
    """.split()
)

HOOKS = torch.nn.modules._functions.BackwardHookFunction
"""The identity that torch puts around modules with full backward hooks, of several tensors."""


def operation_of(t: Tensor) -> Operation | None:
    """The linear operation under a rule that made ``t``, copied and moved at most."""
    return _trace(t)[0]


def follow(t: Tensor, scale: Tensor, shift: Tensor) -> bool:
    """Tell the operation that made ``t`` of the BatchNorm that reads it; whether there is one."""
    op, moves = _trace(t)
    made = None if op is None else op.map
    # of an einsum nobody knows the channels: there the norm stays an affine map of its own
    if op is None or not isinstance(made, Stacked):
        return False
    found = [_by_channel(v, t, moves, made) for v in (scale, shift)]
    if found[0] is None or found[1] is None:
        return False
    op.merge(found[0], found[1], moves)
    return True


def _trace(t: Tensor) -> tuple[Operation | None, tuple[Node, ...]]:
    """The operation that made ``t`` and, from ``t`` back to it, what moved its output."""
    moves: list[Node] = []
    node: Node = t.grad_fn
    nr = t.output_nr
    while node is not None and ((hooks := _is_hooks(node)) or short_name(node) in _MOVES):
        moves.append(node)
        node, nr = node.next_functions[nr if hooks else 0]
    op = getattr(node, "op", None)
    fits = isinstance(op, Operation) and op.rule.merges and op.is_untouched
    return (op, tuple(moves)) if fits else (None, ())


def _is_hooks(node: Node) -> bool:
    return getattr(node, "_forward_cls", None) is HOOKS


def _by_channel(values: Tensor, t: Tensor, moves: Iterable[Node], made: Stacked) -> Tensor | None:
    """A value for each channel (dimension 1) of ``t`` as one for each of the operation's."""
    at = values.reshape(-1, *[1] * (t.dim() - 2)).expand(t.shape)
    with torch.no_grad():
        for node in moves:  # a move's gradient is the move back; a cast would round, hooks run
            at = at if _is_hooks(node) or short_name(node) == "ToCopy" else node(at)
    by_channel = at.movedim(made.channels, -1).reshape(-1, at.shape[made.channels])
    one = by_channel[0]
    return one.clone() if bool((by_channel == one).all()) else None


def merge(outputs: Iterable[Tensor]) -> None:
    """Merge where the BatchNorm is the operation's only reader."""
    readers: Counter[Node] = Counter()
    waiting: list[Node] = []
    for node, before in edges_of(outputs).items():
        if _operation(node) is not None:
            waiting.append(node)
        readers.update(n for n in before if n is not None)
    for node in waiting:
        op = _operation(node)
        assert op is not None
        op.merged = all(readers[n] == 1 for n in (node, *op.moves))


def _operation(node: Node) -> Operation | None:
    op = getattr(node, "op", None)
    return op if isinstance(op, Operation) and op.scale is not None else None
