"""``patch``: one call gives a model's operations their rules, one call takes them away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..composites import Composite
from ..composites import composite as resolve
from ..errors import CompositeError, InputError, PatchError
from ..intercept import Session, active, begin, interceptor, spare_weights
from ..rules.live import explaining
from .given import refuse_given
from .inputs import module_of
from .install import (
    LOCK,
    busy,
    frozen,
    install,
    modules_of,
    parameters_of,
    patches_of,
    refuse_unpatchable,
    uninstall,
)
from .outputs import explained_outputs
from .paths import other_paths
from .recompute import Recomputed, foreign, recomputing, running_backward, tick
from .scoped import Scoped, ScopedMethod
from .tail import tail


class Watcher(Protocol):
    """Looks at what modules return, and may replace it."""

    def watches(self, path: str, module: nn.Module) -> bool:
        """Whether this module's output is of interest."""

    def on_enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What ``on_exit`` wants to know of the arguments as they were before the module ran."""

    def on_exit(
        self,
        path: str,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        before: Any,
    ) -> Any:
        """What the model goes on with instead of ``out``."""

    def on_count(
        self,
        path: str,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        before: Any,
    ) -> Any:
        """The same in a forward that only counts operations: nothing is kept."""

    def on_again(self, path: str) -> None:
        """The module runs once more, in a checkpoint whose graph was not kept."""


class _Counting:
    """A watcher during a counting forward."""

    def __init__(self, watcher: Watcher) -> None:
        self.watches, self.on_again = watcher.watches, watcher.on_again
        self.on_enter, self.on_exit = watcher.on_enter, watcher.on_count
        self.on_count = watcher.on_count


class Patch:
    """A model under a composite, until :meth:`restore`; also a context manager.

    Attributes:
        model: the patched module; the same object as before.
        composite: the rules in force.
        session: what the handlers see (for the library's own use).
        begun: what autograd's nodes were counted to when a caller began who runs the backward too,
            so that it is to write into no ``.grad`` but that of what is explained.
        by_hand: its user calls it, by whatever method; otherwise it is called as a module.
        lean: only the model itself and watched modules say when they run; enough where neither
            rules nor messages depend on module names.
    """

    def __init__(
        self,
        model: nn.Module,
        composite: Composite,
        strict: bool = True,
        check: bool = True,
        observer: Watcher | None = None,
        lean: bool = False,
    ) -> None:
        self.model = model
        self.lean = lean
        self.by_hand = check
        self.composite = composite
        self.session = Session(composite, strict, noting=not lean, on_checkpoint=self._resumed)
        self.owner = threading.get_ident()
        self.active = False
        self.since = -1  # when it was put on, and in which backward: most often in none
        self.backward = -1
        self.begun: int | None = None
        self._spared: list[RemovableHandle] = []
        self._observer = observer
        self._parameters: list[nn.Parameter] = []

    # -- life ----------------------------------------------------------------------------------

    def install(self, freeze: bool = True, timeout: float | None = None) -> Patch:
        """Put the patch on; waits while another thread explains the same modules."""
        modules = modules_of(self.model)
        refuse_unpatchable(modules)
        self._parameters = parameters_of(modules)
        if self.composite.named:
            self.session.others = other_paths(self.model)
        if self.session.owning:
            self.session.own = {id(b) for _, m in modules for b in m._buffers.values()} - {id(None)}
        if self.session.fuse:
            self.session.tail = tail(modules)
        with LOCK:
            if not LOCK.wait_for(lambda: busy(modules, self) is None, timeout):
                raise PatchError(
                    "this model is patched by another thread and was not restored within "
                    f"{timeout:g} s; restore it there first (lxt.restore, if that thread ended)"
                )
            self.active, self.since, self.backward = True, tick(), running_backward()
            try:
                install(modules, self, freeze)
                self.session.froze = frozen(self._parameters)
            except BaseException:
                self.restore()
                raise
        return self

    def restore(self) -> None:
        """Put everything back: the identical objects.  A second call does nothing."""
        with LOCK:
            if self.active:
                uninstall(self)
                self.active = False
                for handle in self._spared:
                    handle.remove()
                self._spared.clear()
                # no cycles: what was explained is freed with the last handle
                self._observer, self.session.on_checkpoint = None, None

    def __enter__(self) -> Patch:
        if not self.active:
            raise PatchError("this patch was restored already; make a new one with lxt.patch")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()

    def __repr__(self) -> str:
        state = "active" if self.active else "restored"
        name = self.composite.name or "a composite"
        return f"<Patch of {type(self.model).__name__} with {name}: {state}>"

    def watches(self, path: str, module: nn.Module) -> bool:
        """Whether somebody looks at this module's output."""
        return self._observer is not None and self._observer.watches(path, module)

    def runs_here(self) -> bool:
        """Whether this thread is inside the model already."""
        return interceptor().session is self.session and bool(self.session.stack)

    # -- what the patched modules call -----------------------------------------------------------

    def enter(
        self,
        scoped: Scoped,
        path: str,
        types: tuple[str, ...],
        watched: bool,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run a module's own forward in its place on the session's stack."""
        session = self.session
        again = recomputing()
        if again is not None:
            if again.since < self.since:
                return scoped.under(again.since, args, kwargs)
        elif running_backward() != self.backward:
            if torch.is_grad_enabled():
                raise foreign()
            return scoped.original(*args, **kwargs)
        elif threading.get_ident() != self.owner:
            return self._elsewhere(scoped, args, kwargs)
        outermost = not session.stack and again is None
        if outermost:
            refuse_given((args, kwargs))
            begin(session, (args, kwargs), any(p.requires_grad for p in self._parameters))
            session.totals = None
            if session.composite.needs_total:
                session.totals = self._count(scoped, args, kwargs)
            session.restart()
        looks = watched and again is None and self._observer is not None
        before = self._observer.on_enter(args, kwargs) if looks and self._observer else None
        try:
            out = self._run(scoped, path, types, args, kwargs)
            if again is not None:
                if watched and not again.kept and self._observer is not None:
                    self._observer.on_again(path)
                return out
            if session.noting and type(out) is Tensor:
                with torch._C.DisableTorchFunction():  # looking at a tensor is a torch function too
                    session.note(out, None, path)
            if watched and self._observer is not None:
                with active(None), explaining(session.explained):
                    out = self._observer.on_exit(path, scoped.module, args, kwargs, out, before)
            if outermost and self.by_hand and torch.is_grad_enabled():
                number = type(scoped) is ScopedMethod  # a loss, whose gradient is its user's
                self.check(t for t in explained_outputs(out) if not number or t.dim())
            return out
        finally:
            if outermost and not session.known:
                session.explained.held.clear()

    def _run(
        self,
        scoped: Scoped,
        path: str,
        types: tuple[str, ...],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        session = self.session
        session.stack.append((path, types))
        try:
            if interceptor().session is session:
                return scoped.original(*args, **kwargs)
            with active(session):
                return scoped.original(*args, **kwargs)
        finally:
            session.stack.pop()

    def check(self, outputs: Iterable[Tensor]) -> None:
        """Strictness: every operation above ``outputs`` has a rule, or it is an error."""
        nodes = self.session.check(outputs)
        if nodes and self.composite.positional:
            raise PatchError(
                "reentrant gradient checkpointing runs its operations for the first time in the "
                "backward, in another order, so 'first', 'last' and ranges mean nothing there; "
                "use use_reentrant=False"
            )
        for node in nodes:
            # reentrant checkpointing keeps the function; what it recomputes needs its rules too
            node.run_function = self.recomputed(node.run_function, "", (), checked=True)

    def spare(self, outputs: Iterable[Tensor]) -> bool:
        """Have the backward leave out the weights above ``outputs`` that the model does not own.

        For a caller who runs the backward, and has set ``begun``.  Returns whether that would free
        a graph that is older than the forward.
        """
        if self.begun is None:
            return False
        with explaining(self.session.explained):
            handles, older = spare_weights(outputs, self.begun)
        self._spared += handles
        return older

    def recomputed(
        self,
        function: Callable[..., Any],
        path: str,
        types: tuple[str, ...],
        checked: bool = False,
        counts: list[int] | None = None,
    ) -> Recomputed:
        """``function`` as gradient checkpointing is to call it, now and in the backward."""
        if not isinstance(function, Recomputed):
            return Recomputed(self, function, path, types, checked=checked, counts=counts)
        function.checked |= checked
        return function

    def _resumed(self, function: Callable[..., Any]) -> Recomputed:
        """``function`` as a checkpoint that is just beginning is to call it in the backward."""
        return self.recomputed(
            function, *self.session.stack[-1], counts=list(self.session.resolver.counts)
        )

    def _elsewhere(self, scoped: Scoped, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Another thread uses the model meanwhile: plain inference, never a mixture."""
        if torch.is_grad_enabled():
            raise PatchError(
                "this model is being explained by another thread; wait until that is done, or "
                "run plain inference under torch.no_grad()"
            )
        return scoped.original(*args, **kwargs)

    def _count(
        self, scoped: Scoped, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[int, ...]:
        """A forward that counts, for assignments that are given from the last operation."""
        if kwargs.get("past_key_values") is not None:
            raise InputError(
                "a composite with where='last' or a negative range needs a counting forward, which "
                "would write into past_key_values; run without a cache"
            )
        session, observer = self.session, self._observer
        self.session = Session(session.composite, counting=True, others=session.others)
        self.session.explained, self.session.own = session.explained, session.own
        self._observer = None if observer is None else _Counting(observer)
        try:
            with torch.enable_grad(), active(self.session):
                self.session.stack.append(("", ()))
                scoped.original(*args, **kwargs)
            return tuple(self.session.resolver.counts)
        finally:
            self.session, self._observer = session, observer


def patch(
    model: Any,
    composite: str | Composite = "attnlrp",
    *,
    strict: bool = True,
    freeze: bool = True,
    timeout: float | None = 60.0,
) -> Patch:
    """Give the operations of ``model`` the rules of ``composite``, so that x * x.grad is relevance.

        with lxt.patch(model, "attnlrp"):
            logits = model(inputs_embeds=x.requires_grad_()).logits
            logits[0, c].backward()
        relevance = x * x.grad

    Forward values stay bit-equal.  ``retain_grad()`` on any hidden state gives its relevance.
    Nested patches of one model: the innermost composite applies.

    Args:
        model: a ``torch.nn.Module``, a transformers pipeline (its model is patched), a local
            folder or a hub id (loaded first: ``patched.model``).
        composite: a preset's name or a :class:`lxt.Composite`.
        strict: an operation without a rule raises :class:`UnruledError` at the end of the
            forward; False: it gets the plain gradient and one warning.
        freeze: parameters do not require grad while the patch lasts (no relevance is written
            into ``parameter.grad``, and nothing is saved for it).
        timeout: seconds to wait while another thread has patched the same modules.

    Returns:
        A handle with ``restore()``, usable as a context manager.

    Raises:
        PatchError: a compiled, scripted or wrapped model, or one patched by another thread.
        CompositeError: an unknown composite, or one with rules of the first layer.
    """
    made = resolve(composite)
    if made.first_layer:
        raise CompositeError(
            f"{made.first_layer[0]!r} gives relevance to inputs that are 0, so x * x.grad cannot "
            "hold it; use lxt.attribute, or a composite without z-box, w^2 and flat"
        )
    return Patch(module_of(model), made, strict).install(freeze, timeout)


def restore(model: Any) -> int:
    """Take every patch off ``model``, also those whose handle was lost; how many there were.

    Args:
        model: a ``torch.nn.Module`` or a transformers pipeline; patches of its parts, and of a
            model that it is part of, go too.

    Raises:
        PatchError: another thread, which still runs, has patched it: it alone may take that off.
    """
    with LOCK:
        found = patches_of(modules_of(module_of(model)))
    others = {t.ident for t in threading.enumerate()} - {threading.get_ident()}
    if any(p.owner in others for p in found):
        raise PatchError(
            "this model is patched by another thread, which may be using it; restore it there"
        )
    for p in found:
        p.restore()
    return len(found)
