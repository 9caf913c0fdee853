"""The blocks of a transformer, found by watching a forward: where tokens go in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


def find_blocks(
    model: nn.Module, run: Callable[[], Any], batch: int, tokens: int
) -> list[nn.Module]:
    """The modules of one list that take all tokens in turn, in the order in which they run.

    Of several such lists the one that takes the most turns, then the outer one.

    Args:
        run: a forward of ``batch`` rows of ``tokens`` positions (those in front included).
    """
    lists: dict[str, list[tuple[str, nn.Module]]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList | nn.Sequential):
            lists[name] = [(f"{name}.{i}", child) for i, child in enumerate(module)]
    ran: dict[str, list[nn.Module]] = {name: [] for name in lists}
    handles = [
        child.register_forward_pre_hook(
            partial(_note, ran[name], (batch, tokens)), with_kwargs=True
        )
        for name, children in lists.items()
        for _, child in children
    ]
    run_hooked(run, handles)
    found = [name for name, modules in ran.items() if modules]
    if not found:
        return []
    # a block's own list of layers takes tokens as well, but fewer times in a row
    best = max(found, key=lambda name: (len(ran[name]), -name.count(".")))
    return ran[best]


def run_hooked(
    run: Callable[[], Any], handles: Iterable[RemovableHandle], graph: bool = False
) -> Any:
    """A forward for what its hooks see; they are taken off, whatever happens.

    ``graph``: keep autograd's.
    """
    try:
        with torch.inference_mode(False), torch.set_grad_enabled(graph):
            return run()
    finally:
        for handle in handles:
            handle.remove()


def hidden_of(
    args: tuple[Any, ...], kwargs: dict[str, Any], dims: tuple[int, ...] = (3,)
) -> Tensor | None:
    """The tokens [batch, positions, width] that a block is called with, or other states."""
    first = args[0] if args else kwargs.get("hidden_states")
    return first if isinstance(first, Tensor) and first.dim() in dims else None


def with_hidden(
    args: tuple[Any, ...], kwargs: dict[str, Any], hidden: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call with other tokens."""
    if args:
        return (hidden, *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": hidden}


def _note(
    ran: list[nn.Module],
    shape: tuple[int, int],
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    hidden = hidden_of(args, kwargs)
    if hidden is not None and hidden.shape[:2] == shape:
        ran.append(module)
