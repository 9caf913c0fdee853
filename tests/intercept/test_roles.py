"""Attention weights stay weights, whatever is done to them; a ledger changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from tests.oracles.arrays import relative_error

CAUSAL = torch.ones(5, 5, dtype=torch.bool).tril()
ZERO = torch.zeros((), dtype=torch.float64)


def _written(w: Tensor) -> Tensor:
    buffer = torch.zeros(2, 5, 5, dtype=w.dtype)
    buffer[..., :] = w
    return buffer


# softmax weights w and u [2, 5, 5] -> what multiplies the values
WEIGHTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "masked by a product": lambda w, u: w * CAUSAL,
    "masked by where": lambda w, u: torch.where(CAUSAL, w, 0.0),
    "masked by where with a tensor": lambda w, u: torch.where(CAUSAL, w, ZERO),
    "masked_fill": lambda w, u: w.masked_fill(~CAUSAL, 0.0),
    "padded": lambda w, u: F.pad(w[..., :4], (0, 1)),
    "joined to zeros": lambda w, u: torch.cat([w[..., :4], torch.zeros(2, 5, 1).double()], -1),
    "clamped": lambda w, u: w.clamp(min=1e-3),
    "tril": lambda w, u: w.tril(),
    "negative": lambda w, u: -w,
    "absolute": lambda w, u: w.abs(),
    "maximum of two": lambda w, u: torch.maximum(w, u),
    "sum of two": lambda w, u: torch.stack([w, u]).sum(0),
    "mean of two": lambda w, u: torch.stack([w, u]).mean(0),
    "difference of two": lambda w, u: w - 0.5 * u,
    "in place": lambda w, u: w.clone().add_(u),
    "cumulated": lambda w, u: w.cumsum(-1),
    "shifted": lambda w, u: w + torch.eye(5).double(),
    "written into a buffer": lambda w, u: _written(w),
    "normalised again": lambda w, u: (w * CAUSAL) / (w * CAUSAL).sum(-1, keepdim=True),
}


MIX = torch.tensor([[0.9, 0.2], [-0.1, 0.7]], dtype=torch.float64)
HEADS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda w: F.linear(w.movedim(1, -1), MIX).movedim(-1, 1),
    "einsum": lambda w: torch.einsum("hg,bgts->bhts", MIX, w),
    "convolution": lambda w: F.conv2d(w, MIX[:, :, None, None]),
}


class Attention(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.head = (nn.Linear(4, n) for n in (4, 4, 4, 2))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        w, u = (s.softmax(-1) for s in (q @ k.mT, k @ q.mT))
        return self.head((self.function(w, u) @ v).mean(1))


def given() -> Tensor:
    return torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("name", WEIGHTS)
def test_cp_lrp_holds_the_weights(name: str) -> None:
    model, x = Attention(WEIGHTS[name]).double(), given()
    leaf = x.clone().requires_grad_()
    frozen = Attention(lambda w, u: WEIGHTS[name](w.detach(), u.detach())).double()
    frozen(leaf)[:, 0].sum().backward()
    found = lxt.attribute(model, x, 0, "cp_lrp", ledger=True)
    assert relative_error(found.relevance, x * leaf.grad) < 1e-12
    assert "softmax" not in found.ledger.entries


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_a_ledger_changes_nothing(name: str, composite: str) -> None:
    model, x = Attention(WEIGHTS[name]).double(), given()
    found = lxt.attribute(model, x, 0, composite, ledger=True)
    assert relative_error(found.relevance, lxt.attribute(model, x, 0, composite).relevance) < 1e-12
    assert float(found.ledger.gap.abs().max()) < 1e-12


def test_a_sum_of_activations_is_a_signal() -> None:
    """Not a gate: half of the product's relevance goes to it under cp_lrp."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.c = (nn.Linear(4, 4, bias=False) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return (torch.relu(self.a(x)) + torch.relu(self.b(x))) * self.c(x)

    x = given()[:, 0]
    model = Net().double()
    leaf = x.clone().requires_grad_()
    (model(leaf)[:, 0] * 0.5).sum().backward()
    assert relative_error(lxt.attribute(model, x, 0, "cp_lrp").relevance, x * leaf.grad) < 1e-12


def test_addcmul_holds_its_gate() -> None:
    class Net(nn.Module):
        def __init__(self, fused: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.c, self.fused = *(nn.Linear(4, 4) for _ in range(3)), fused

        def forward(self, x: Tensor) -> Tensor:
            gate = torch.sigmoid(self.b(x))
            if self.fused:
                return torch.addcmul(self.a(x), gate, self.c(x))
            return self.a(x) + gate * self.c(x)

    x = given()[:, 0]
    one, two = (lxt.attribute(Net(f).double(), x, 0, ledger=True) for f in (True, False))
    assert relative_error(one.relevance, two.relevance) < 1e-12
    assert "activation" not in one.ledger.entries
    assert float(one.ledger.gap.abs().max()) < 1e-12


class Heads(nn.Module):
    """Two heads, whose weights are mixed."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.head = (nn.Linear(4, n) for n in (4, 4, 4, 2))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (2, 2)).transpose(1, 2) for f in (self.q, self.k, self.v))
        out = self.function((q @ k.mT).softmax(-1)) @ v
        return self.head(out.transpose(1, 2).flatten(2).mean(1))


@pytest.mark.parametrize("name", HEADS)
def test_talking_heads_are_attention(name: str) -> None:
    model, x = Heads(HEADS[name]).double(), given()
    leaf = x.clone().requires_grad_()
    Heads(lambda w: HEADS[name](w.detach())).double()(leaf)[:, 0].sum().backward()
    for ledger in (False, True):
        found = lxt.attribute(model, x, 0, "cp_lrp", ledger=ledger).relevance
        assert relative_error(found, x * leaf.grad) < 1e-12


class ConstantValues(nn.Module):
    """Attention over learned values, beside the input itself."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.head, self.fused = *(nn.Linear(4, n) for n in (4, 4, 2)), fused
        self.v = nn.Parameter(torch.randn(1, 5, 4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v.expand(len(x), -1, -1)
        if self.fused:
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            out = (q @ k.mT * 0.5).softmax(-1) @ v
        return self.head((x + out).mean(1))


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
def test_attention_over_constants_is_one_thing_eager_and_fused(composite: str) -> None:
    one, two = (
        lxt.attribute(ConstantValues(f).double(), given(), 0, composite, ledger=True)
        for f in (True, False)
    )
    assert relative_error(one.relevance, two.relevance) < 1e-12
    assert float(one.ledger.gap.abs().max()) < 1e-12
    assert float(two.ledger.gap.abs().max()) < 1e-12
    assert ("softmax" in two.ledger.entries) == (composite != "cp_lrp")
