"""Where in a model relevance may come to few tokens only: behind its last attention."""

from __future__ import annotations

from torch import nn

from .install import Modules


def tail(modules: Modules) -> frozenset[int]:
    """The ids of the parameters outside a model's lists of blocks, or in the last block of one.

    A guess by how models are written.  What it misses costs time and nothing else, and so does
    what it takes for more than it is.

    Args:
        modules: names and modules, each after the one it belongs to.
    """
    found: set[int] = set()
    inside: str | None = None  # an outermost list, and its last block
    last = ""
    for path, module in modules:
        if inside is not None and path.startswith(inside):
            if path != last and not path.startswith(f"{last}."):
                continue
        elif _is_list_of_blocks(module):
            inside = f"{path}." if path else ""
            last = inside + next(reversed(module._modules))
        found.update(id(p) for p in module._parameters.values() if p is not None)
    return frozenset(found)


def _is_list_of_blocks(module: nn.Module) -> bool:
    """A ModuleList, or a Sequential of one type; a Sequential of several is one block's steps."""
    if len(module._modules) < 2:
        return False
    if isinstance(module, nn.ModuleList):
        return True
    # not by iterating over it: a subclass may do that in its own way, or not at all
    types = {type(m) for m in module._modules.values()}
    return isinstance(module, nn.Sequential) and len(types) == 1
