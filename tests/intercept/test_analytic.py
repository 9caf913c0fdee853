"""Logarithms, square roots, linear systems and added integers: the account closes to float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt

_ROW = torch.linspace(-1, 1, 8, dtype=torch.float64)
_TRIPLE = torch.linspace(-1, 1, 512, dtype=torch.float64).view(8, 8, 8).sin()
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "log": lambda x: (x.abs() + 0.1).log(),
    "log2": lambda x: (x.abs() + 0.1).log2(),
    "log10": lambda x: (x.abs() + 0.1).log10(),
    "softplus written out": lambda x: torch.log(1.0 + torch.exp(x)),
    "log_softmax": lambda x: x.log_softmax(-1),
    "log_softmax over rows": lambda x: torch.log_softmax(x, dim=0),
    "logsumexp": lambda x: x * 0.5 + torch.logsumexp(x, -1, keepdim=True),
    "logsumexp without its dimension": lambda x: (
        x * x.logsumexp(dim=1)[:, None].detach() + x.logsumexp(1).unsqueeze(1)
    ),
    "logsumexp of masked scores": lambda x: (
        x + x.masked_fill(torch.eye(3, 8, dtype=torch.bool), float("-inf")).logsumexp(-1, True)
    ),
    "sqrt": lambda x: (x * x + 0.1).sqrt(),
    "norm": lambda x: x.norm(dim=-1, keepdim=True).expand_as(x),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, dim=-1, keepdim=True) * torch.ones(8),
    "std": lambda x: x.std(-1, keepdim=True) + x,
    "exp of masked scores": lambda x: torch.exp(x.masked_fill(x > 0.5, float("-inf"))) + x,
    "an integer added": lambda x: torch.ones_like(x, dtype=torch.int64) * 3 + x,
    "a mask added": lambda x: (x > 0) + x,
    "addcmul of signals": lambda x: torch.addcmul(x, x, x * 0.5, value=0.3),
    "addcmul of a signal and weights": lambda x: (
        x + torch.addcmul(torch.ones(8), torch.full((8,), 0.5), tensor2=x)
    ),
    "var": lambda x: x.var(-1, keepdim=True) + x,
    "var of all, uncorrected": lambda x: torch.var(x, correction=0) * _ROW + x,
    "prod": lambda x: x.prod(-1, keepdim=True) + x,
    "prod of all": lambda x: x.prod() + x,
    "bilinear of signals": lambda x: F.bilinear(x, x * 0.5, _TRIPLE, _ROW),
    "bilinear of a signal": lambda x: F.bilinear(x, _ROW.expand(3, 8), _TRIPLE, bias=_ROW),
    "addcdiv of signals": lambda x: torch.addcdiv(x, x, x.square() + 3, value=0.7),
    "addcdiv to a constant": lambda x: torch.addcdiv(_ROW, x, _ROW + 3),
    "addcdiv of constants": lambda x: torch.addcdiv(x, torch.ones(8), torch.ones(8), value=2),
    "lerp by a number": lambda x: torch.lerp(x, x * 0.5 + 1, 0.3),
    "lerp by a gate": lambda x: torch.lerp(x, 2 * x.roll(1, -1), torch.sigmoid(x)),
    "lerp by weights": lambda x: torch.lerp(x, x.new_ones(8), weight=torch.linspace(0, 1, 8).to(x)),
    "lerp between constants": lambda x: torch.lerp(x.new_ones(8), x.new_full((8,), 3.0), x),
    "lerp in place": lambda x: (x * 1.0).lerp_(x.roll(1, -1), 0.7),
    "lerp in place to a constant": lambda x: (x * 1.0).lerp_(x.new_ones(8), 0.3),
    "lerp in place by a gate": lambda x: x.new_ones(3, 8).lerp_(weight=torch.sigmoid(x), end=x),
    "cosine similarity": lambda x: F.cosine_similarity(
        x[:, None], x.view(-1, 4, 2).mT[:, :, :, None].repeat(1, 1, 1, 2).flatten(2), dim=-1
    ).repeat(1, 4),
    "cosine similarity with a constant": lambda x: (
        F.cosine_similarity(x, torch.linspace(-1, 2, 8), dim=-1, eps=1e-6)[:, None] * torch.ones(8)
    ),
    "clamp by a one-element tensor": lambda x: x.clamp(torch.tensor(-0.3), torch.tensor([0.4])),
    "a bounded norm's scale": lambda x: x * (1 / x.norm(dim=-1, keepdim=True)).clamp(max=1.0),
}


class Net(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.function = nn.Linear(4, 8), nn.Linear(8, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.function(self.a(x)))


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_account_closes(name: str, composite: str) -> None:
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model = Net(FUNCTIONS[name]).double()
    found = lxt.attribute(model, x, 1, composite, ledger=True)
    assert torch.equal(found.output, model(x))
    book = found.ledger
    assert book is not None
    assert float(book.gap.abs().max()) < 1e-10
    assert float(book.unruled.max()) < 1e-10


SELF = ("lerp", "cosine", "var", "prod", "bilinear", "addcdiv")


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n.split()[0] in SELF])
def test_the_gradient_composite_is_the_gradient(name: str) -> None:
    model = Net(FUNCTIONS[name]).double()
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaf = x.clone().requires_grad_()
    model(leaf)[:, 1].sum().backward()
    found = lxt.attribute(model, x, 1, "gradient").relevance
    assert leaf.grad is not None and torch.allclose(found, x * leaf.grad, atol=1e-12)


def test_a_linear_system_is_linear_in_its_right_side() -> None:
    torch.manual_seed(0)
    left, right = nn.Linear(4, 9, dtype=torch.float64), nn.Linear(4, 6, dtype=torch.float64)
    x = torch.randn(2, 4, dtype=torch.float64)

    class System(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = left, right

        def forward(self, x: Tensor) -> Tensor:
            a = self.left(x).view(-1, 3, 3).tril(-1) + torch.eye(3, dtype=x.dtype)
            b = self.right(x).view(-1, 3, 2)
            solved = torch.linalg.solve_triangular(a, b, upper=False, unitriangular=True)
            return solved.flatten(1)

    found = lxt.attribute(System(), x, 2, ledger=True)
    # by hand: the row of A^-1 that makes output 2 (row 1, column 0), times right's own share
    a = left(x).view(-1, 3, 3).tril(-1) + torch.eye(3, dtype=x.dtype)
    inverse = torch.linalg.inv(a)[:, 1]
    weight = right.weight.view(3, 2, 4)[:, 0]
    wanted = x * (inverse @ weight)
    assert torch.allclose(found.relevance, wanted, atol=1e-12)
    assert found.ledger is not None and float(found.ledger.gap.abs().max()) < 1e-12


def test_batch_norm_of_one_transposed_image() -> None:
    """torch's own backward is wrong there; the account shows it, and so the rule does it right."""
    torch.manual_seed(0)

    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
            self.head = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm(self.conv(x)).flatten(2).transpose(1, 2)
            return self.head(y)[:, 3]

    model = Transposed().double().eval()
    for p in model.parameters():
        p.data += torch.randn_like(p) * 0.1
    x = torch.randn(1, 3, 9, 9, dtype=torch.float64)
    for composite in ("attnlrp", "epsilon_plus"):
        book = lxt.attribute(model, x, 1, composite, ledger=True).ledger
        assert book is not None and float(book.gap.abs().max()) < 1e-12


def test_products_in_disguise_by_hand() -> None:
    """Each of n factors takes its n-th part; a bilinear form halves; a divisor takes nothing."""
    x = torch.randn(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    weight = torch.randn(1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    class Only(nn.Module):
        def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.function = function

        def forward(self, x: Tensor) -> Tensor:
            return self.function(x)

    def relevance(function: Callable[[Tensor], Tensor]) -> Tensor:
        found: Tensor = lxt.attribute(Only(function), x, 0).relevance
        return found

    product = x.prod(-1, keepdim=True)
    assert torch.allclose(relevance(lambda t: t.prod(-1, keepdim=True)), (product / 4).expand(2, 4))
    centred = x - x.mean(-1, keepdim=True)
    assert torch.allclose(relevance(lambda t: t.var(-1, keepdim=True)), x * centred / 3)
    form = x * (x @ (weight[0] + weight[0].T)) / 2
    assert torch.allclose(relevance(lambda t: F.bilinear(t, t, weight)), form)
    added = torch.zeros_like(x)
    added[:, 0] = x[:, 0] + x[:, 0] / (x[:, 0].abs() + 1)
    assert torch.allclose(relevance(lambda t: torch.addcdiv(t, t, t.abs() + 1)), added)
