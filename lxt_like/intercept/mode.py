"""The mode that sees every torch function a patched model calls."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout, linear
from torch.overrides import TorchFunctionMode

from ..rules.live import explaining, is_active, is_weight, trusts
from ..rules.rows import linear_by_rows
from .aten import ATEN, as_torch
from .causes import out_of_place, overwrites
from .checkpoint import adopt
from .compiled import uncompiled
from .derivative import DERIVATIVES, differentiate
from .frozen import mark_frozen
from .owned import mark_owned
from .registry import ENTRIES, Func, positional
from .roles import hand_on
from .session import Session
from .tags import carry, flat, replace, tag
from .transform import run_transformed, transformed
from .trust import check_trusted
from .twins import put_twin, shift_twin, twin

saved_tensor_hooks = torch._C._autograd._top_saved_tensors_default_hooks

FACTS = frozenset(
    getattr(torch.Tensor, name).__get__
    for name in "dtype shape device ndim requires_grad is_cuda is_cpu layout".split()
) | frozenset(
    getattr(torch.Tensor, name)
    for name in "size dim numel stride is_floating_point register_hook retain_grad".split()
)
"""What reads a tensor's facts, not its values: half of what a model calls; and what it hangs on the
tensor itself, which must not meet a stand-in."""


class Interceptor(TorchFunctionMode):
    """Gives each torch function its rule, for the session of the running model.

    One per thread: sessions of nested patches replace each other, so that the innermost
    composite applies, once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.session: Session | None = None

    def __torch_function__(
        self,
        func: Func,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        session = self.session
        if session is None or func in FACTS:
            return func(*args, **kwargs) if kwargs else func(*args)
        if transformed():
            return run_transformed(session, func, args, kwargs or {})
        if session.frozen and trusts():
            check_trusted(args, session.start)
            if kwargs:
                check_trusted(kwargs.values(), session.start)
        if func is dropout and kwargs and kwargs.get("training") is False:
            return args[0]  # idle: as torch does, and a model calls it more often than it attends
        if session.on_checkpoint is not None and (hooks := saved_tensor_hooks(True)) is not None:
            adopt(hooks[0], session.on_checkpoint)
        if func is linear and not kwargs and session.leaves_alone(*args):
            return linear_by_rows(*args) if id(args[1]) in session.tail else func(*args)
        if type(func) in ATEN:
            func, args, kwargs = as_torch(func, args, kwargs or {})
        entry = ENTRIES.get(func)
        if entry is not None and entry.kind == "move" and args and session.moves_freely(args[0]):
            return func(*args, **kwargs) if kwargs else func(*args)
        if kwargs:
            if func in DERIVATIVES:  # called with all their options
                return differentiate(session, func, args, kwargs)
            args, kwargs = positional(func, args, kwargs)
        else:
            kwargs = {}
        if session.measure is not None:
            return session.measure.call(session, func, args, kwargs)
        return dispatch(session, func, args, kwargs)


def dispatch(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``func(*args, **kwargs)`` under the session's rules."""
    out = _ruled(session, func, args, kwargs)
    if session.froze and not (type(out) is Tensor and out.requires_grad):
        mark_frozen(session, (*args, *kwargs.values()), out)
    if session.owning and not (type(out) is Tensor and is_active(out)):
        mark_owned(session, func, args, kwargs, out)
    if session.unasked:
        _explain_mixture(session, flat((*args, *kwargs.values())), out)
    return out


def _explain_mixture(session: Session, tensors: Iterable[Tensor], out: Any) -> None:
    """Where nothing is explained but parameters, data that met one of them is the signal."""
    if not all(is_weight(t) for t in tensors if t.is_floating_point()):
        for t in flat((out,)):
            if t.requires_grad:
                session.explained.begin(t)


def _ruled(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    entry = ENTRIES.get(func)
    if entry is None:
        plain, rest, options = _hidden(func, args, kwargs)
        if plain is not None:
            return _in_place(session, plain, (args[0], *rest), options)
        out = func(*args, **kwargs)
        hand_on(func, args, kwargs, out)
        if session.noting:
            session.note(out, func)
        return out
    handler = entry.handler
    if handler is not None and torch.is_grad_enabled():
        return handler(session, func, args, kwargs)
    plain = entry.in_place_of
    if plain is not None and torch.is_grad_enabled() and _needs_rule(plain, args, kwargs):
        return _in_place(session, plain, args, kwargs)
    mates = tuple(twin(t) for t in args[:2]) if session.first_layer and plain is not None else ()
    out = func(*args, **kwargs)
    if handler is None and plain is None:
        hand_on(func, args, kwargs, out)
    if plain is not None and any(mates):  # a constant's product: another function has its rule
        shift_twin(plain, args, kwargs, out, mates)
    return out


def _hidden(
    func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Func | None, tuple[Any, ...], dict[str, Any]]:
    """The out-of-place form of an in-place operation on a view, which the walk could not see.

    Autograd files it under the base's CopySlices, whatever it computes.
    """
    if (
        overwrites(func, kwargs)
        and args
        and isinstance(args[0], Tensor)
        and args[0]._is_view()
        and torch.is_grad_enabled()
        and any(is_active(t) for t in flat((*args, *kwargs.values())))
    ):
        return out_of_place(func, args, kwargs)
    return None, (), {}


_SCALES = frozenset({"mul", "multiply", "div", "divide", "true_divide"})


def _needs_rule(plain: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a signal is written that is more than another, scaled by a constant."""
    live = [is_active(t) for t in flat((*args, *kwargs.values()))]
    if ENTRIES[plain].name in _SCALES and not kwargs and isinstance(args[0], Tensor):
        return any(live[1:])
    return any(live)


def _in_place(session: Session, plain: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A product written into its operand: computed out of place and copied back.

    A hook on a node whose tensor is then overwritten would see the wrong gradient.
    """
    target = args[0]
    old = target.clone()
    carry(target, old)
    put_twin(old, twin(target))
    result = dispatch(session, plain, (old, *args[1:]), kwargs)
    role = tag(result)
    target.copy_(result)
    replace(target, role)
    put_twin(target, twin(result))
    return target


_local = threading.local()


def interceptor() -> Interceptor:
    """This thread's interceptor."""
    mode = getattr(_local, "mode", None)
    if mode is None:
        mode = _local.mode = Interceptor()
    return mode


@contextmanager
def active(session: Session | None) -> Iterator[None]:
    """Run with ``session`` intercepting in this thread; None: with no interception."""
    mode = interceptor()
    before = mode.session
    mode.session = session
    entered = session is not None and not _is_on(mode)
    try:
        with nullcontext() if session is None else explaining(session.explained):
            if entered:
                with uncompiled(), mode:
                    yield
            else:
                yield
    finally:
        mode.session = before


def _is_on(mode: Interceptor) -> bool:
    n = torch._C._len_torch_function_stack()
    return any(torch._C._get_function_stack_at(i) is mode for i in range(n))
