"""Custom autograd functions: handled while a patch lasts, untouched before and after."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import RegistryError, UnruledError
from lxt_like.intercept import functions, handles_function, opened


class OwnGelu(torch.autograd.Function):
    """gelu by tanh, written to save memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.gelu(x, approximate="tanh")

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            y = F.gelu(x.detach().requires_grad_(), approximate="tanh")
        raise AssertionError(f"never run under a patch: {y.shape}, {g.shape}")


class Net(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.function = nn.Linear(4, 8), nn.Linear(8, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.function(self.a(x)))


@pytest.fixture
def registered() -> Any:
    name = f"{OwnGelu.__module__}.{OwnGelu.__qualname__}"
    handles_function(name)(opened)
    yield name
    del functions.FUNCTIONS[name]


def test_an_opened_function_has_the_rules_of_what_it_calls(registered: str) -> None:
    x = torch.randn(2, 4)
    found = lxt.attribute(Net(OwnGelu.apply_later), x, 1, ledger=True)  # type: ignore[attr-defined]
    wanted = lxt.attribute(Net(lambda t: F.gelu(t, approximate="tanh")), x, 1, ledger=True)
    assert torch.equal(found.relevance, wanted.relevance)
    assert found.ledger is not None and found.ledger.closed


OwnGelu.apply_later = staticmethod(lambda x: OwnGelu.apply(x))  # type: ignore[attr-defined]


def test_without_a_handler_it_is_refused() -> None:
    with pytest.raises(UnruledError, match="OwnGeluBackward"):
        lxt.attribute(Net(lambda t: OwnGelu.apply(t)), torch.randn(2, 4), 1)


def test_apply_is_the_original_before_and_after(registered: str) -> None:
    assert "apply" not in vars(OwnGelu)
    with lxt.patch(Net(nn.ReLU())), lxt.patch(Net(nn.ReLU())):
        assert "apply" in vars(OwnGelu)
        seen: list[Any] = []

        def elsewhere() -> None:  # another thread, which explains nothing
            y = OwnGelu.apply(torch.ones(2, requires_grad=True))
            seen.append(y.grad_fn.name())

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert seen == ["OwnGeluBackward"]
    assert "apply" not in vars(OwnGelu)


def test_names_are_full_and_registered_once(registered: str) -> None:
    with pytest.raises(RegistryError, match=r"package\.module\.Class"):
        handles_function("OwnGelu")
    with pytest.raises(RegistryError, match="one function, one rule"):
        handles_function(registered)(opened)
