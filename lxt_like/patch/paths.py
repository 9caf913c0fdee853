"""The paths of a module that a model has at several places."""

from __future__ import annotations

from torch import nn


def other_paths(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """For each module with several paths, its first one, by which it is known: the others."""
    first: dict[int, str] = {}
    again: list[tuple[str, str]] = []  # a module's first path, and another
    todo = [("", model)]
    while todo:
        path, module = todo.pop()
        if id(module) in first:
            known = first[id(module)]
            if known and not path.startswith(f"{known}."):  # else it holds itself
                again.append((known, path))
            continue
        first[id(module)] = path
        start = f"{path}." if path else ""
        todo += [(start + n, m) for n, m in reversed(module._modules.items()) if m is not None]
    found = {path: tuple(_others(path, again)) for path in first.values()} if again else {}
    return {path: others for path, others in found.items() if others}


def _others(path: str, again: list[tuple[str, str]]) -> list[str]:
    """``path`` with a first path it lies under replaced by another, as often as that goes."""
    found = [path]
    for p in found:  # grows while it is read
        for known, other in again:
            if p == known or p.startswith(f"{known}."):
                made = other + p[len(known) :]
                if made not in found:
                    found.append(made)
    return found[1:]
