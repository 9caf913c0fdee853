"""A hidden value: what arrives at it, what is held back there, and how it takes its place."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.autograd.grad_mode import _unsafe_preserve_version_counter

from .errors import InputError
from .intercept.measure import carry_all
from .intercept.records import Record
from .intercept.sums import Sums
from .intercept.twins import put_twin, twin
from .numerics import contribution, inner, upcast
from .rules.base import consumer


class Watched:
    """A hidden tensor, the gradient that arrives at it, and what is handed past it to the input."""

    def __init__(self, value: Tensor) -> None:
        self.value = value.detach().clone()
        self.grad: Tensor | None = None
        self.handed: Tensor | None = None
        value.register_hook(self._on_grad)
        mate = twin(value)
        if mate is not None:
            mate.tensor.register_hook(self._on_handed)

    def _on_grad(self, g: Tensor | None) -> None:
        if g is not None:  # a rule of the first layer leaves none
            self.grad = g.detach() if self.grad is None else self.grad + g.detach()

    def _on_handed(self, r: Tensor) -> None:
        self.handed = r.detach() if self.handed is None else self.handed + r.detach()

    def forget(self) -> None:
        self.grad = self.handed = None

    def relevance(self) -> Tensor:
        if self.grad is None:  # not on the path: nothing arrived
            found = torch.zeros_like(contribution(upcast(self.value), self.value))
        else:
            found = contribution(upcast(self.value), upcast(self.grad))
        return found if self.handed is None else found + self.handed

    @property
    def reached(self) -> bool:
        """Whether anything arrived."""
        return self.grad is not None or self.handed is not None


class Held:
    """A prehook that holds back a part of the relevance which enters a node."""

    def __init__(
        self, value: Tensor, mask: Tensor, record: Record | None, sums: Sums | None
    ) -> None:
        self.value, self.mask = value, mask
        self.record, self.sums = record, sums
        self.reached = False

    def __call__(self, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        (g,) = grads
        if g is None:
            return grads
        self.reached = True
        kept = g * self.mask
        if self.record is not None and self.sums is not None:
            book, record = self.sums.book, self.record
            book(record.arrived, inner(self.value, g))
            book(record.passed, inner(self.value, kept))
            book(record.kept("masked"), inner(self.value, g * (1 - self.mask)))
        return (kept,)


def fresh(t: Tensor) -> Tensor:
    """The same value, of the same role, on a node that stays whatever is written into it."""
    v = t.clone()
    carry_all(t, v)
    found = twin(t)
    if found is not None:
        put_twin(v, replace(found, tensor=consumer(found.tensor)))
    return v


def held_back(
    t: Tensor, factor: Tensor, record: Record | None, sums: Sums | None
) -> tuple[Tensor, Held]:
    """``t``, past which only ``factor`` of the relevance goes; and what sees to that.

    ``record``, ``sums``: where a ledger wants to know what is held back.
    """
    v = fresh(t)
    assert v.grad_fn is not None
    held = Held(t.detach().clone(), factor, record, sums)
    v.grad_fn.register_prehook(held)
    mate = twin(v)
    if mate is not None:
        assert mate.tensor.grad_fn is not None
        kind = mate.tensor.dtype
        one = torch.ones((), dtype=kind, device=t.device)
        mate.tensor.grad_fn.register_prehook(Held(one, factor.to(kind), record, sums))
    return v, held


def share_memory(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors lie in the same memory."""
    return a is b or a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def write_back(path: str, v: Tensor, t: Tensor) -> None:
    """Put ``v``, the same value on a node of its own, into ``t``, which a module overwrote.

    The model may go on with ``t`` or with what it is a view of, whatever the module returns.  To
    autograd nothing was overwritten: what is saved of ``t`` for the backward is in it still.
    """
    try:
        with _unsafe_preserve_version_counter(t):
            t.copy_(v)
    except RuntimeError as e:
        raise InputError(
            f"nothing to look at in {path!r}: it overwrites its argument and returns a part of "
            f"it that cannot be written into ({e}); look at a module before or after it"
        ) from e
    assert t.grad_fn is not None  # a view takes its new node now, while its version is this
    carry_all(v, t)
