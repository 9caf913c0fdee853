"""The last feature map of a convolutional network: what all that comes behind it reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Returned:
    """A map [1, channels, rows, cols] that a module returned.

    Attributes:
        turn: how often the module had run before (a ReLU may serve many layers).
        node: what made the map in autograd's graph.
    """

    module: nn.Module
    turn: int
    shape: tuple[int, ...]
    node: Any


class Maps:
    """Keeps what modules return in a forward; a module's hook."""

    def __init__(self) -> None:
        self.turns: Counter[nn.Module] = Counter()
        self.found: list[Returned] = []

    def __call__(self, module: nn.Module, args: Any, out: Any) -> None:
        turn = self.turns[module]
        self.turns[module] += 1
        if isinstance(out, Tensor) and out.dim() == 4 and min(out.shape[-2:]) > 1:
            self.found.append(Returned(module, turn, tuple(out.shape), out.grad_fn))


def last_map(
    found: Sequence[Returned], sizes: Iterable[tuple[int, ...]], answer: Tensor, pixels: Tensor
) -> Returned | None:
    """The last map on which every path from ``pixels`` to ``answer`` lies, before it is pooled.

    A branch, a shortcut or the newest channels of a growing map are read beside others, so
    without them the answer still depends on the pixels.

    Args:
        sizes: rows and columns of maps that have the channels first.
    """
    known = {*sizes}
    passed: dict[Any, bool] = {}
    for one in reversed(found):
        if one.node is None or one.shape[2:] not in known or "Pool" in one.node.name():
            continue
        if one.node not in passed:
            passed[one.node] = not _reaches(answer, pixels, one.node)
        if passed[one.node]:
            return one
    return None


def _reaches(answer: Tensor, pixels: Tensor, without: Any) -> bool:
    """Whether the graph leads from ``answer`` to the leaf ``pixels`` beside one node."""
    seen = {None, without}
    waiting = [answer.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if getattr(node, "variable", None) is pixels:
            return True
        assert node is not None
        waiting += [before for before, _ in node.next_functions]
    return False
