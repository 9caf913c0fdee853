"""The mode: on while a session runs, per thread, gone afterwards."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

import lxt_like as lxt
from lxt_like.intercept import Session, active, interceptor
from tests.oracles.arrays import relative_error
from tests.support import inline, random

PRODUCT = inline(lambda m, x: m.a(x) * m.b(x))
X = random(2, 6)


def half_gradient() -> bool:
    """Whether products meet the uniform rule here."""
    a, b = (random(3, seed=s).requires_grad_() for s in (1, 2))
    out = (a * b).sum()
    with active(None):  # a backward of ours, no model's
        (grad,) = torch.autograd.grad(out, a)
    return torch.equal(grad, b / 2)


def session(name: str = "attnlrp") -> Session:
    made = Session(lxt.composites.composite(name))
    made.stack.append(("", ()))
    return made


def test_on_and_off() -> None:
    assert not half_gradient()
    with active(session()):
        assert half_gradient()
        with active(None):
            assert not half_gradient()
        assert half_gradient()
        with active(session("gradient")):
            assert not half_gradient()
        assert half_gradient()
    assert not half_gradient()
    assert torch._C._len_torch_function_stack() == 0


def test_an_exception_switches_it_off() -> None:
    with pytest.raises(KeyError), active(session()):
        raise KeyError
    assert interceptor().session is None
    assert torch._C._len_torch_function_stack() == 0


def test_another_thread_sees_nothing() -> None:
    seen = []
    with active(session()):
        thread = threading.Thread(target=lambda: seen.append(half_gradient()))
        thread.start()
        thread.join()
        assert half_gradient()
    assert seen == [False]


def test_without_grad_nothing_happens() -> None:
    with active(session()), torch.no_grad():
        out = random(3).requires_grad_() * 2
    assert out.grad_fn is None


class Counting(TorchFunctionMode):
    """Somebody else's mode."""

    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        Counting.calls += 1
        return func(*args, **(kwargs or {}))


def test_other_modes_go_on() -> None:
    want = lxt.attribute(PRODUCT, X, 0).relevance
    with Counting():
        assert torch.equal(lxt.attribute(PRODUCT, X, 0).relevance, want)
    assert Counting.calls > 5
    with torch.device("cpu"):
        assert torch.equal(lxt.attribute(PRODUCT, X, 0, ledger=True).relevance, want)


def test_a_subclass_of_tensor_as_input() -> None:
    class Named(torch.Tensor): ...

    want = lxt.attribute(PRODUCT, X, 0).relevance
    got = lxt.attribute(PRODUCT, X.as_subclass(Named), 0).relevance
    assert relative_error(got.as_subclass(torch.Tensor), want) < 1e-12


@pytest.mark.parametrize("write", ["mul_", "__imul__", "div_", "square_"])
def test_writes_into_leaves_fail_as_they_always_do(write: str) -> None:
    for context in (active(None), active(session())):
        leaf = random(3).requires_grad_()
        args = () if write == "square_" else (random(3, seed=1).requires_grad_(),)
        with context, pytest.raises(RuntimeError, match="a leaf Variable"):
            getattr(leaf, write)(*args)


@pytest.mark.parametrize("ledger", [False, True])
def test_what_a_model_hangs_on_its_own_tensors(ledger: bool) -> None:
    """A hook that its forward registers acts, and a gradient that it asks for is there."""
    kept = []

    def hangs(m: Any, x: torch.Tensor) -> torch.Tensor:
        h = m.a(x)
        h.retain_grad()
        kept.append(h)
        h.register_hook(lambda g: g / 4)
        return m.b(h)

    want = lxt.attribute(inline(lambda m, x: m.b(m.a(x))), X, 0).relevance
    got = lxt.attribute(inline(hangs), X, 0, ledger=ledger)
    assert relative_error(got.relevance, want / 4) < 1e-12
    assert kept[0].grad is not None
    if ledger:
        assert not got.ledger.closed  # what the hook takes away is nobody's
