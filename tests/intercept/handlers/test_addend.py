"""A signal added inside a linear operation is a sum: what is added passes on what arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from tests.oracles.arrays import relative_error
from tests.support import account, inline, random

COMPOSITES = ("attnlrp", "epsilon", "epsilon_plus", "epsilon_alpha2_beta1", "attnlrp_gamma")
X = random(2, 6)
W = random(6, 6, seed=3)
K = random(4, 2, 2, seed=4)


def maps(m: Any, x: Tensor) -> Tensor:
    return m.a(x).view(-1, 2, 3)  # type: ignore[no-any-return]


# with the addend inside, and the same as a sum
SUMS: dict[str, tuple[Callable[[Any, Tensor], Tensor], Callable[[Any, Tensor], Tensor]]] = {
    "addmm": (lambda m, x: torch.addmm(m.a(x), x, W), lambda m, x: m.a(x) + x @ W),
    "addmm_": (lambda m, x: m.a(x).addmm_(x, W), lambda m, x: m.a(x) + x @ W),
    "addmm, scaled": (
        lambda m, x: torch.addmm(m.a(x), x, W, beta=0.5, alpha=2),
        lambda m, x: 0.5 * m.a(x) + x @ (2 * W),
    ),
    "addmm of one row": (
        lambda m, x: torch.addmm(m.a(x)[:1], x, W),
        lambda m, x: m.a(x)[:1] + x @ W,
    ),
    "addmm, the weight first": (
        lambda m, x: torch.addmm(m.a(x).T, W, x.T).T,
        lambda m, x: m.a(x) + (W @ x.T).T,
    ),
    "addmv": (
        lambda m, x: torch.stack([torch.addmv(m.a(t), W, t) for t in x]),
        lambda m, x: torch.stack([m.a(t) + W @ t for t in x]),
    ),
    "baddbmm": (
        lambda m, x: torch.baddbmm(m.a(x)[:, None], x[:, None], W.expand(2, 6, 6))[:, 0],
        lambda m, x: (m.a(x)[:, None] + x[:, None] @ W.expand(2, 6, 6))[:, 0],
    ),
    "addbmm": (
        lambda m, x: torch.addbmm(m.a(x), torch.stack([x, x + 1.0]), W.expand(2, 6, 6)),
        lambda m, x: (
            m.a(x) + torch.einsum("bij,bjk->ik", torch.stack([x, x + 1.0]), W.expand(2, 6, 6))
        ),
    ),
    "linear": (
        lambda m, x: torch.stack([F.linear(t, W, m.a(t)) for t in x]),
        lambda m, x: torch.stack([F.linear(t, W) + m.a(t) for t in x]),
    ),
    "linear by name": (
        lambda m, x: torch.stack([F.linear(bias=m.a(t), weight=W, input=t) for t in x]),
        lambda m, x: torch.stack([F.linear(t, W) + m.a(t) for t in x]),
    ),
    "a product by name": (
        lambda m, x: F.linear(input=x, weight=m.a(W) * x.sum()),
        lambda m, x: F.linear(x, m.a(W) * x.sum()),
    ),
    "conv": (
        lambda m, x: torch.stack(
            [F.conv1d(t, K, t.sum(0).repeat(2)[:4]) for t in maps(m, x)]
        ).flatten(1)[:, :6],
        lambda m, x: torch.stack(
            [F.conv1d(t, K) + t.sum(0).repeat(2)[:4, None] for t in maps(m, x)]
        ).flatten(1)[:, :6],
    ),
}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", SUMS)
def test_equals_the_sum(name: str, composite: str) -> None:
    one, two = (inline(f) for f in SUMS[name])
    found, wanted = (account(m, X, 0, composite) for m in (one, two))
    assert relative_error(found.relevance, wanted.relevance) < 1e-11
    for cause in ("bias", "epsilon", "unassigned"):
        if cause in wanted.ledger.entries:
            have = found.ledger.entries[cause]
            torch.testing.assert_close(have, wanted.ledger.entries[cause], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("composite", COMPOSITES)
def test_of_parameters_that_are_not_frozen(composite: str) -> None:
    """A trainable addend is a bias, scaled or not."""
    one, two = (
        inline(lambda m, x: torch.addmm(m.b.bias, x, m.b.weight, beta=0.5)),
        inline(lambda m, x: F.linear(x, m.b.weight.T, 0.5 * m.b.bias)),
    )
    found = []
    for model in (one, two):
        for p in model.parameters():
            p.requires_grad_(True)
        x = X.clone().requires_grad_()
        with lxt.patch(model, composite, freeze=False):
            model(x)[:, 0].sum().backward()
        found.append(x * x.grad)
        assert model.b.bias.grad.abs().sum() > 0
    assert relative_error(*(t.detach() for t in found)) < 1e-11


class Hyper(nn.Module):
    """Constants times weights that the input makes."""

    def __init__(self, form: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.make, self.form, self.shape = nn.Linear(6, 12), form, shape
        self.register_buffer("constant", random(1, 3, 4, seed=8))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows = [self.form(self.constant, w.view(self.shape)) for w in self.make(x)]
        return self.head(torch.stack(rows).flatten(1)[:, :6])


HYPER: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
    "linear": (lambda c, w: F.linear(c, w), lambda c, w: c @ w.T, (3, 4)),
    "conv": (
        lambda c, w: F.conv1d(c, w),
        lambda c, w: torch.einsum("bctk,ock->bot", c.unfold(2, 2, 1), w),
        (2, 3, 2),
    ),
    "transposed conv": (
        lambda c, w: F.conv_transpose1d(c, w)[..., 1:-1],
        lambda c, w: torch.einsum("bctk,cok->bot", c.unfold(2, 2, 1), w.flip(-1)),
        (3, 2, 2),
    ),
}


@pytest.mark.parametrize(
    "rule", [lxt.rules.Zero(), lxt.rules.Epsilon(0.1), lxt.rules.ZPlus(), lxt.rules.Gamma(0.3)]
)
@pytest.mark.parametrize("name", HYPER)
def test_weights_that_the_input_makes_for_a_constant(name: str, rule: lxt.rules.Rule) -> None:
    everywhere = lxt.Composite([*lxt.composites.AttnLRP().assignments, rule])
    form, plain, shape = HYPER[name]
    one, two = (Hyper(f, shape).double().eval() for f in (form, plain))
    found, wanted = (account(m, X, 0, everywhere).relevance for m in (one, two))
    assert relative_error(found, wanted) < 1e-11
