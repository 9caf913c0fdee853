"""What gradient checkpointing computes again in the backward: under the rules of its forward.

A backward may run in another thread, and in the middle of another patch.  So a patched module
asks not whether some backward is running, but which checkpoint is computing it again.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ..errors import PatchError
from ..intercept import active, explain_all
from .outputs import tensors_of

if TYPE_CHECKING:
    from .patch import Patch

_here = threading.local()
_clock = itertools.count()


def tick() -> int:
    """A later number at every call: what began before what."""
    return next(_clock)


def running_backward() -> int:
    """The number of the backward that this thread is in; -1: in none."""
    found: int = torch._C._current_graph_task_id()
    return found


def recomputing() -> Recomputed | None:
    """What this thread is computing again; within it, what that computes again is a part of it."""
    return getattr(_here, "now", None)


class Recomputed:
    """A checkpointed function under a patch: in the forward, and again in the backward.

    Attributes:
        since: when its forward ran; patches put on later do not apply.
        kept: the forward's graph was kept, and only what it saved is computed again.
        checked: the graph that it makes in the backward has to be checked.
        cut: its arguments are leaves in the backward: nothing of the forward's graph was kept.
    """

    def __init__(
        self,
        patch: Patch,
        function: Callable[..., Any],
        path: str,
        types: tuple[str, ...],
        *,
        checked: bool = False,
        counts: list[int] | None = None,
    ) -> None:
        self.patch, self.function = patch, function
        self.path, self.types = path, types
        self.checked, self.kept, self.cut = checked, counts is not None, False
        self.since = tick()
        self._explained = patch.session.explained  # by the call that it is a part of
        self._counts = counts  # of operations before it, in execution order

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        patch = self.patch
        if not patch.active:
            raise PatchError(
                "gradient checkpointing recomputes the model in the backward, but the patch was "
                "restored before it; call backward() inside the patch"
            )
        if running_backward() == patch.backward:  # the forward itself
            self.cut |= not torch.is_grad_enabled()
            return self._run(args, kwargs)
        outer, session = recomputing(), patch.session
        held, before = len(self._explained.held), session.explained
        _here.now, session.explained = outer or self, self._explained
        try:
            if (self.cut or self.checked) and torch.is_grad_enabled():  # leaves of this backward
                explain_all(self._explained, (args, kwargs))
            out = self._run(args, kwargs)
            _here.now = outer
            if session.measure is not None:
                out = session.measure.handed_back(out, self.path)
            if self.checked and torch.is_grad_enabled():
                patch.check(tensors_of(out))
                patch.spare(tensors_of(out))
            return out
        finally:
            _here.now, session.explained = outer, before
            del self._explained.held[held:]

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        session = self.patch.session
        with active(session), session.resumed(self._counts):
            session.stack.append((self.path, self.types))
            try:
                return self.function(*args, **kwargs)
            finally:
                session.stack.pop()


def foreign() -> PatchError:
    """A backward computes a forward again that the patch has not seen."""
    return PatchError(
        "gradient checkpointing computes a forward again that this patch has not seen: it ran "
        "before the patch, or leads to none of the outputs that the patch looked at; call the "
        "model and backward() both inside the patch or both outside, or checkpoint with "
        "use_reentrant=False"
    )
