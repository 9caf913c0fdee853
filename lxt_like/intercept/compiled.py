"""Functions in a model that torch.compile made: while it is explained, their own Python runs.

A compiled function would be traced with the rules in it.  torch can be told to leave compiling be,
but it tells all threads; so what it is told depends on the thread that asks.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_lock = threading.Lock()
_here = threading.local()
_now: list[_Stance] = []  # the one that is in force, if any
_users = 0  # threads that need it


class _Stance:
    """Stands in for torch's stance on compiling: in threads that explain, not to."""

    def __init__(self, before: Any) -> None:
        self.before = before

    @property
    def stance(self) -> str:
        if getattr(_here, "on", False):
            return "force_eager"
        found: str = self.before.stance
        return found

    def __getattr__(self, name: str) -> Any:  # the rest of it
        return getattr(self.before, name)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Compiled functions run as they were written, in this thread.

    Nothing is to be done as long as torch's compiler was never loaded.
    """
    compiler: Any = sys.modules.get("torch._dynamo.eval_frame")
    if not hasattr(compiler, "_stance") or getattr(_here, "on", False):
        yield
        return
    frames = torch._C._dynamo.eval_frame
    if frames.get_eval_frame_callback() not in (None, False):  # within a compiled function
        before = frames.set_eval_frame(None)
        try:
            yield
        finally:
            frames.set_eval_frame(before)
        return
    _take(compiler)
    _here.on = True
    try:
        yield
    finally:
        _here.on = False
        _leave(compiler)


def _take(compiler: Any) -> None:
    global _users
    with _lock:
        if not _users:
            _now.append(_Stance(compiler._stance))
            compiler._stance = _now[0]
        _users += 1


def _leave(compiler: Any) -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            mine = _now.pop()
            if compiler._stance is mine:  # somebody may have set another meanwhile
                compiler._stance = mine.before
