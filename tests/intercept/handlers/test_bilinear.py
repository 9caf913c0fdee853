"""Matrix products of two activations, and of one with constants, in every spelling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from tests.oracles import attention as oracle
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, inline, random

Body = Callable[[nn.Module, Tensor], Tensor]
EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)

# [batch, tokens, 6] -> [batch, tokens, 6] through scores of two activations, no softmax
SPELLINGS: dict[str, Body] = {
    "@": lambda m, x: (m.a(x) @ m.b(x).transpose(-1, -2)) @ x,
    "matmul": lambda m, x: torch.matmul(torch.matmul(m.a(x), m.b(x).mT), x),
    "matmul by name": lambda m, x: torch.matmul(other=x, input=m.a(x).matmul(other=m.b(x).mT)),
    "bmm": lambda m, x: torch.bmm(torch.bmm(m.a(x), m.b(x).mT), mat2=x),
    "einsum": lambda m, x: torch.einsum(
        "bts,bsd->btd", torch.einsum("btd,bsd->bts", m.a(x), m.b(x)), x
    ),
    "einsum of a list": lambda m, x: torch.einsum("bts,bsd->btd", [m.a(x) @ m.b(x).mT, x]),
    "baddbmm": lambda m, x: torch.baddbmm(
        torch.zeros(1).double(), torch.baddbmm(torch.zeros(1).double(), m.a(x), m.b(x).mT), x
    ),
    "baddbmm, beta = 0": lambda m, x: torch.baddbmm(
        x, torch.baddbmm(m.a(x)[..., :1], m.a(x), m.b(x).mT, beta=0), x, beta=0
    ),
    "mm per sample": lambda m, x: torch.stack(
        [torch.mm(torch.mm(a, b.T), v) for a, b, v in zip(m.a(x), m.b(x), x, strict=True)]
    ),
    "tensordot": lambda m, x: torch.stack(
        [torch.tensordot(a @ b.mT, v, 1) for a, b, v in zip(m.a(x), m.b(x), x, strict=True)]
    ),
}


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_agree(name: str, composite: str) -> None:
    x = random(2, 4, 6)
    got = account(inline(SPELLINGS[name]), x, composite=composite)
    want = account(inline(SPELLINGS["@"]), x, composite=composite)
    assert relative_error(got.relevance, want.relevance) < 1e-11


def test_half_to_each_factor() -> None:
    x, weights = random(1, 3, 6), random(3, 3, seed=4)
    model = inline(lambda m, x: weights @ (m.a(x) @ m.b(x).mT) @ torch.ones(3, 6).double())
    got = account(model, x)
    a, b = model.a(x[0]), model.b(x[0])
    # the score is linear in the product: R_product = product * g
    g = (weights.T @ torch.ones(3, 6).double()) @ model.c.weight[0]
    R = (a @ b.T) * g[:, None]
    parts = oracle.matmul(a, b.T, R)
    s_a, s_b = torch.tensor(parts["a"]) / a, torch.tensor(parts["b"]).T / b
    want = x[0] * (s_a @ model.a.weight + s_b @ model.b.weight)
    assert relative_error(got.relevance[0], want) < 1e-10


CONSTANTS: dict[str, Body] = {
    "mm": lambda m, x: torch.mm(x, m.a.weight.T),
    "x @ W": lambda m, x: x @ m.a.weight.T,
    "W @ x": lambda m, x: (m.a.weight @ x.T).T,
    "addmm": lambda m, x: torch.addmm(m.a.bias, x, m.a.weight.T),
    "addmm, scaled": lambda m, x: torch.addmm(m.a.bias, x, m.a.weight.T, beta=0.5, alpha=2),
    "addmm of an activation": lambda m, x: torch.addmm(x, m.a(x), m.b.weight),
    "addmm by name": lambda m, x: torch.addmm(input=m.a.bias, mat1=x, mat2=m.a.weight.T),
    "baddbmm": lambda m, x: torch.baddbmm(
        m.a.bias[None, None], x[:, None], m.a.weight.T.expand(len(x), 6, 6)
    )[:, 0],
    "einsum": lambda m, x: torch.einsum("bi,oi->bo", x, m.a.weight),
    "mv": lambda m, x: torch.stack([torch.mv(m.a.weight, row) for row in x]),
    "outer": lambda m, x: torch.outer(x[:, 0], m.a.bias),
    "dot": lambda m, x: torch.stack([torch.dot(row, m.a.bias) for row in x])[:, None] * m.b.bias,
    "inner": lambda m, x: torch.inner(x, m.a.weight),
    "bias in place": lambda m, x: torch.mm(x, m.a.weight.T).add_(m.a.bias),
}


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", CONSTANTS)
def test_products_with_constants_are_linear(name: str, composite: str) -> None:
    """The plain gradient, and the added bias is declared."""
    model, x = inline(CONSTANTS[name]), random(3, 6)
    got = account(model, x, composite=composite)
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)
    assert relative_error(got.relevance, x * grad) < 1e-12
    assert set(got.ledger.entries) <= {"bias", "constant"}


def test_epsilon_reaches_every_spelling() -> None:
    import lxt_like as lxt

    x = random(3, 6)
    relevances = [
        account(inline(CONSTANTS[name]), x, composite=lxt.composites.AttnLRP(0.3)).relevance
        for name in ("mm", "x @ W", "W @ x", "einsum", "inner")
    ]
    for other in relevances[1:]:
        assert relative_error(other, relevances[0]) < 1e-11


# an einsum of one operand, and the same without: [batch, 6, 6] -> [batch, 6]
ALONE: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "sum": ("bij->bi", lambda t: t.sum(2)),
    "sum of a list": ("bij->bj", lambda t: t.sum(1)),
    "transpose": ("bij->bji", lambda t: t.transpose(1, 2)),
    "diagonal": ("bii->bi", lambda t: t.diagonal(dim1=1, dim2=2)),
    "trace": ("bii->b", lambda t: t.diagonal(dim1=1, dim2=2).sum(1)),
    "implicit order": ("bji", lambda t: t.transpose(1, 2)),
    "ellipsis": ("...j -> ...", lambda t: t.sum(-1)),
    "ellipsis summed": ("...j -> j", lambda t: t.sum((0, 1))),
}


@pytest.mark.parametrize(
    "composite", ["attnlrp", "cp_lrp", "epsilon_plus", "epsilon_alpha2_beta1", "epsilon_gamma_box"]
)
@pytest.mark.parametrize("name", ALONE)
def test_one_operand_needs_no_rule(name: str, composite: str) -> None:
    equation, same = ALONE[name]

    def einsum(t: Tensor) -> Tensor:
        return torch.einsum(equation, [t] if "list" in name else t)

    def body(form: Callable[[Tensor], Tensor], m: nn.Module, x: Tensor) -> Tensor:
        h = form(m.a(x).relu())
        return (h if h.dim() == 3 else h.reshape(-1, 1, 1).expand(-1, 1, 6)[: len(x)]) + 0 * x

    x = random(2, 6, 6)
    got, want = (account(inline(partial(body, f)), x, composite=composite) for f in (einsum, same))
    assert relative_error(got.relevance, want.relevance) < 1e-12


@EVERY_COMPOSITE
@pytest.mark.parametrize("equation", ["bij->bji", "bij->bj", "bij->b"])
def test_a_weight_moved_or_summed_is_a_weight(equation: str, composite: str) -> None:
    def gate(m: nn.Module, x: Tensor) -> Tensor:
        made = torch.einsum(equation, m.a(x).sigmoid())
        return made[:, None, None] if made.dim() == 1 else made

    x = random(6, 6, 6)
    got = account(inline(lambda m, x: gate(m, x) * m.b(x)), x, composite=composite)
    held = lxt.attribute(inline(lambda m, x: gate(m, x).detach() * m.b(x)), x, 0, composite)
    assert relative_error(got.relevance, held.relevance) < 1e-12


def test_a_first_layer_rule_follows_a_transpose() -> None:
    def model(direct: bool) -> nn.Module:
        class Net(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                moved = x.permute(0, 3, 1, 2) if direct else torch.einsum("bhwc->bchw", x)
                return nn.functional.conv2d(moved, random(4, 3, 2, 2)).relu().mean((2, 3))

        return Net()

    x = random(2, 5, 5, 3)
    for composite in ("epsilon_plus_flat", "epsilon_gamma_box"):
        got, want = (account(model(d), x, composite=composite).relevance for d in (False, True))
        assert relative_error(got, want) < 1e-12


def attention(m: nn.Module, x: Tensor, weights: Callable[[Tensor], Tensor]) -> Tensor:
    return weights(torch.softmax(m.a(x) @ m.b(x).mT, -1)) @ x


CARRIED: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda w: w,
    "a view": lambda w: w.view(2, 4, 4),
    "a cast": lambda w: w.to(torch.float64).double(),
    "scaled": lambda w: w * 1.0,
    "masked": lambda w: w.masked_fill(torch.zeros(4, 4, dtype=torch.bool), 0.0),
    "transposed twice": lambda w: w.mT.transpose(-1, -2),
    "a selection": lambda w: w[:, :, :],
    "in place": lambda w: w.mul_(1.0),
    "renormalised": lambda w: w / w.sum(-1, keepdim=True),
    "dropout in eval": lambda w: nn.functional.dropout(w, 0.3, training=False),
    "concatenated": lambda w: torch.cat([w[:, :2], w[:, 2:]], 1),
}


@pytest.mark.parametrize("name", CARRIED)
def test_cp_lrp_holds_attention_weights_constant(name: str) -> None:
    """However they travel from the softmax to the product, queries and keys get nothing."""
    model = inline(lambda m, x: attention(m, x, CARRIED[name]))
    x = random(2, 4, 6)
    got = account(model, x, composite="cp_lrp")
    w = torch.softmax(model.a(x) @ model.b(x).mT, -1)
    want = x * (w.mT @ model.c.weight[0].expand(2, 4, 6))
    assert relative_error(got.relevance, want) < 1e-11
    assert set(got.ledger.entries) == {"bias"}


def test_an_activation_added_to_a_product_keeps_its_own_share() -> None:
    def fused(m: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        a, b = m.a(x), m.b(x)  # type: ignore[operator]
        return torch.baddbmm(x[:, :, None], a[:, :, None], b[:, None, :])[:, :, 0]

    def apart(m: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        a, b = m.a(x), m.b(x)  # type: ignore[operator]
        return (x[:, :, None] + torch.bmm(a[:, :, None], b[:, None, :]))[:, :, 0]

    for composite in ("attnlrp", "cp_lrp"):
        one, other = (
            lxt.attribute(inline(f), random(2, 6), 0, composite).relevance for f in (fused, apart)
        )
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
