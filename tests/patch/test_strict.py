"""An operation without a rule on the path is an error that names it, its module and the way out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import InputError, UnruledError
from tests.oracles.arrays import relative_error
from tests.restore.snapshot import differences, snapshot
from tests.support import inline, random


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


class Unknown(nn.Module):
    """One operation without a rule, in a module of its own."""

    def __init__(self, op: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


UNKNOWN: dict[str, tuple[nn.Module, str]] = {
    "custom function": (Unknown(Cube.apply), "CubeBackward"),
    "atan": (Unknown(torch.atan), "AtanBackward"),
    "sinh": (Unknown(lambda x: x.sinh()), "SinhBackward"),
    "cumprod": (Unknown(lambda x: x.cumprod(-1)), "CumprodBackward"),
    "svdvals": (
        Unknown(lambda x: torch.linalg.svdvals(x.view(-1, 2, 3)).repeat(1, 3)),
        "LinalgSvdBackward",
    ),
    "scatter_reduce of products": (
        Unknown(lambda x: x.scatter_reduce(1, torch.zeros(2, 6).long(), x, "prod")),
        "ScatterReduceBackward",
    ),
    "logcumsumexp": (Unknown(lambda x: x.logcumsumexp(-1)), "LogcumsumexpBackward"),
    "pow of a power": (Unknown(lambda x: 2.0**x), "PowBackward"),
    "clamp by a tensor": (
        Unknown(lambda x: torch.clamp(x, min=torch.full((6,), 0.1))),
        "ClampBackward",
    ),
}


# what they cost is nothing: f(2 x) = 2 f(x), but nobody has looked at them yet
HOMOGENEOUS = {"svdvals"}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_operations_are_named(name: str) -> None:
    odd, node = UNKNOWN[name]
    model = nn.Sequential(nn.Linear(6, 6), odd, nn.Linear(6, 3)).eval()
    x = random(2, 6).float()
    was = snapshot(model)
    with pytest.raises(UnruledError, match=rf"({node}).*in 1.*What to do: "):
        lxt.attribute(model, x, 0)
    with pytest.raises(UnruledError, match=node), lxt.patch(model):
        model(x.clone().requires_grad_())
    assert differences(was, model) == []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = lxt.attribute(model, x, 0, strict=False, ledger=True)
    ours = [w for w in caught if issubclass(w.category, lxt.errors.UnruledWarning)]
    assert len(ours) == 1
    assert "plain gradient" in str(ours[0].message)
    assert (got.ledger.unruled.max() < 1e-6) == (name in HOMOGENEOUS)
    assert got.ledger.closed == (name in HOMOGENEOUS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lean = lxt.attribute(model, x, 0, strict=False).relevance
    assert relative_error(lean, got.relevance) < 1e-5


OFF_THE_PATH: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "an unused branch": lambda m, x: (torch.atan(m.b(x)), m.a(x))[1],
    "under a detached scale": lambda m, x: m.a(x) * torch.atan(m.b(x)).detach(),
    "in a norm's scale": lambda m, x: m.a(x) / torch.atan(m.b(x)).abs().sqrt(),
    "without grad": lambda m, x: m.a(x) + torch.no_grad()(torch.atan)(m.b(x)),
    "of constants": lambda m, x: m.a(x) + torch.atan(m.b.weight[0]),
    "in the choice of indices": lambda m, x: m.a(x).gather(1, torch.atan(x).argsort(-1)),
}


@pytest.mark.parametrize("name", OFF_THE_PATH)
def test_unknown_operations_off_the_path_do_not_matter(name: str) -> None:
    lxt.attribute(inline(OFF_THE_PATH[name]), random(2, 6), 0)


def test_side_outputs_are_not_explained() -> None:
    class Out(dict[str, Tensor]): ...

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Out:
            return Out(logits=self.head(x), aux_loss=torch.atan(x).sum())

    with lxt.patch(Two()) as patch:
        patch.model(random(2, 6).float().requires_grad_())


class _Sinh(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sinh().mean(1)


def test_an_input_that_comes_from_a_parameter_is_walked_to() -> None:
    table = torch.nn.Embedding(5, 4)
    with lxt.patch(_Sinh()) as patched, pytest.raises(UnruledError, match="Sinh"):
        patched.model(table(torch.tensor([[1, 2, 3]])))


def test_a_parameter_as_input_is_refused() -> None:
    with lxt.patch(_Sinh()) as patched, pytest.raises(InputError, match="requires_grad_"):
        patched.model(torch.nn.Parameter(torch.ones(1, 2, 3)))
