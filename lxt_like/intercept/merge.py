"""BatchNorm merged on the fly into the linear operation before it.

The operation runs before its BatchNorm is known, so the rule binds in the backward; whether
anything else reads the operation's output is known once the graph is complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..rules.linear import Operation, operation_of
from ..rules.maps import Stacked
from .graph import Node, edges_of


def follow(t: Any, scale: Tensor, shift: Tensor) -> bool:
    """Tell the operation that made ``t`` of the BatchNorm that reads it; whether there is one."""
    op = operation_of(t)
    made = None if op is None else op.map
    # of an einsum nobody knows the channels: there the norm stays an affine map of its own
    if op is None or not isinstance(made, Stacked):
        return False
    if made.channels % t.dim() != 1 or made.width(t) != scale.numel():
        return False
    op.merge(scale, shift, t.grad_fn)
    return True


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
        op.merged = readers[node] == 1 and readers[op.read] == 1


def _operation(node: Node) -> Operation | None:
    op = getattr(node, "op", None)
    return op if isinstance(op, Operation) and op.scale is not None else None
