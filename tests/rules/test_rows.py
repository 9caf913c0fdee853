"""Rows without relevance are left out of the backward's products; nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import rules
from lxt_like.rules import linear, rows
from lxt_like.rules.linear import LinearRule, Step
from tests.models import zoo
from tests.support import random

FAMILIES = {
    "bert": "sequence-classification",
    "roberta": "sequence-classification",
    "llama": "causal-lm",
    "gpt_neox": "causal-lm",
    "t5": "seq2seq-lm",
    "vit": "image-classification",
}
BY_ROW = [
    rules.Epsilon(0.1),
    rules.Epsilon(0.1, clip=True),
    rules.Epsilon(zero_bias=True),
    rules.ZPlus(),
    rules.AlphaBeta(2.0, 1.0),
    rules.Gamma(0.25),
    rules.Gamma(50.0),
    rules.ClassicGamma(0.25),
]


def all_rows(g: Tensor) -> None:
    """In place of ``live_rows``: leave nothing out."""


@pytest.fixture
def picked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(rows multiplied, rows in all) of every product that left some out."""
    found: list[tuple[int, int]] = []
    plain = rows.live_rows

    def spy(g: Tensor) -> Tensor | None:
        live = plain(g)
        if live is not None:
            found.append((len(live), len(g)))
        return live

    monkeypatch.setattr(rows, "live_rows", spy)
    monkeypatch.setattr(linear, "live_rows", spy)
    return found


def with_rows(*which: int, n: int = 10, width: int = 4) -> Tensor:
    g = torch.zeros(n, width, dtype=torch.float64)
    g[list(which)] = random(len(which), width)
    return g


@pytest.mark.parametrize("which", [(), (0,), (9,), (2, 3, 7), (0, 1, 2, 3, 4), tuple(range(10))])
def test_a_product_by_rows_is_the_product(which: tuple[int, ...]) -> None:
    g, weight = with_rows(*which), random(4, 3)
    expected = g @ weight
    assert torch.allclose(rows.times_weight(g, weight), expected, rtol=1e-14, atol=0)
    deep = rows.times_weight(g.view(2, 5, 4), weight)
    assert deep.shape == (2, 5, 3)
    assert torch.allclose(deep.view(10, 3), expected, rtol=1e-14, atol=0)


def test_the_rows_that_are_picked() -> None:
    live = rows.live_rows(with_rows(2, 7))
    assert live is not None and live.tolist() == [2, 7]
    none = rows.live_rows(with_rows())
    assert none is not None and none.tolist() == []
    assert rows.live_rows(with_rows(*range(6))) is None


def test_a_row_of_nan_is_not_lost() -> None:
    g = with_rows()
    g[3, 1] = torch.nan
    out = rows.times_weight(g, random(4, 3))
    assert out[3].isnan().all() and not out[:3].any() and not out[4:].any()


def test_the_forward_is_bit_equal_and_the_weight_gets_no_gradient() -> None:
    x, weight, bias = random(2, 5, 4).float(), random(3, 4).float(), random(3).float()
    x.requires_grad_()
    out = rows.linear_by_rows(x, weight, bias)
    assert torch.equal(out, F.linear(x, weight, bias))
    assert "LinearByRows" in type(out.grad_fn).__name__
    assert rows.linear_by_rows(x.detach(), weight, bias).grad_fn is None
    with torch.no_grad():
        assert rows.linear_by_rows(x, weight, bias).grad_fn is None


def test_under_autocast() -> None:
    x, weight, bias = random(2, 5, 4).float(), random(3, 4).float(), random(3).float()
    g = torch.zeros(2, 5, 3)
    g[:, 0] = random(2, 3).float()
    gradients = []
    for operation in (rows.linear_by_rows, F.linear):
        leaf = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = operation(leaf, weight, bias)
        assert out.dtype == torch.bfloat16
        out.backward(g.bfloat16())
        gradients.append(leaf.grad)
    assert gradients[0].dtype == torch.float32
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-2)


@pytest.mark.parametrize("rule", BY_ROW, ids=repr)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("shape", [(8, 5), (2, 4, 5)], ids=str)
def test_a_rule_row_by_row(
    rule: LinearRule,
    bias: bool,
    shape: tuple[int, ...],
    picked: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 3, bias=bias, dtype=torch.float64)
    assert rule.by_row
    made = lxt.Composite([lxt.Assign(rule, kind="linear")])

    def relevance() -> Tensor:
        x = random(*shape).requires_grad_()
        with lxt.patch(model, made):
            out = model(x)
            g = torch.zeros_like(out).view(-1, 3)
            g[2] = random(3)
            out.backward(g.view_as(out))
        assert x.grad is not None
        return x.grad

    found = relevance()
    assert picked == [(1, 8)]
    monkeypatch.setattr(linear, "live_rows", all_rows)
    assert torch.allclose(found, relevance(), rtol=1e-13, atol=0)
    assert found.view(-1, 5)[2].any()


@dataclass(frozen=True, repr=False)
class OverAll(LinearRule):
    """A user's rule that looks at all rows together."""

    def spread(self, step: Step) -> Tensor:
        return step.map.transposed(step.g / len(step.g), step.weight, step.x)


@pytest.mark.parametrize("rule", [OverAll(), rules.Epsilon(0.1, scaled=True)], ids=repr)
def test_a_rule_over_all_rows_sees_all_of_them(
    rule: LinearRule, picked: list[tuple[int, int]]
) -> None:
    model = nn.Linear(5, 3, dtype=torch.float64)
    x = random(8, 5).requires_grad_()
    with lxt.patch(model, lxt.Composite([lxt.Assign(rule, kind="linear")])):
        model(x)[0].sum().backward()
    assert not picked and not rule.by_row


@pytest.mark.parametrize("composite", ["attnlrp", "attnlrp_gamma", "gradient"])
@pytest.mark.parametrize("family", FAMILIES)
def test_relevance_is_the_same(
    family: str, composite: str, picked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = zoo.build(family, FAMILIES[family]).double()
    inputs = {
        name: t.double() if t.is_floating_point() else t for name, t in zoo.example(model).items()
    }

    def explain() -> Any:
        return lxt.attribute(model, inputs, composite=composite)

    found = explain()
    assert picked, "no product left a row out"
    monkeypatch.setattr(linear, "live_rows", all_rows)
    monkeypatch.setattr(import_module("lxt_like.patch.patch"), "tail", lambda modules: frozenset())
    expected = explain()
    assert torch.equal(found.score, expected.score)
    a, b = (
        torch.cat([t.flatten() for t in (r.values() if isinstance(r, dict) else [r])])
        for r in (found.relevance, expected.relevance)
    )
    assert torch.allclose(a, b, rtol=1e-11, atol=1e-13 * float(b.abs().max()))


def test_a_classifier_multiplies_one_token_in_its_last_block(picked: list[tuple[int, int]]) -> None:
    model = zoo.build("bert", "sequence-classification")
    lxt.attribute(model, {"input_ids": torch.randint(5, 90, (3, 8))})
    # intermediate, output and attention's output: their first token, of three texts
    assert picked.count((3, 24)) == 4  # and the query


class Net(nn.Module):
    """A function of a module's parameters and an input."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def by_expert(net: Any, x: Tensor) -> Tensor:
    """One expert gets every row, the other none."""
    return net.h(net.e(x)).mean(0, keepdim=True) + net.h(net.e(x[:0])).sum(0, keepdim=True)


def by_complex(net: Any, x: Tensor) -> Tensor:
    return torch.view_as_real(net.a(torch.view_as_complex(x))).flatten(1)


ODD: dict[str, tuple[Callable[[Any, Tensor], Tensor], Callable[[], dict[str, Any]], Any]] = {
    "no rows": (by_expert, lambda: {"e": nn.Linear(8, 8), "h": nn.Linear(8, 3)}, (4, 8)),
    "no outputs": (
        lambda net, x: net.h(torch.cat([net.e(x), x], -1)),
        lambda: {"e": nn.Linear(8, 0), "h": nn.Linear(8, 3)},
        (4, 8),
    ),
    "complex": (by_complex, lambda: {"a": nn.Linear(4, 3, dtype=torch.complex128)}, (5, 4, 2)),
    "a bias for each row": (
        lambda net, x: F.linear(x, net.w, net.b).flatten()[None],
        lambda: {"w": nn.Parameter(torch.randn(3, 8)), "b": nn.Parameter(torch.randn(6, 3))},
        (6, 8),
    ),
    "one number for each row": (
        lambda net, x: torch.addmm(net.b, x, net.w).flatten()[None],
        lambda: {"w": nn.Parameter(torch.randn(8, 3)), "b": nn.Parameter(torch.randn(6, 1))},
        (6, 8),
    ),
    "one number": (
        lambda net, x: torch.addmm(net.b, x, net.w).flatten()[None],
        lambda: {"w": nn.Parameter(torch.randn(8, 3)), "b": nn.Parameter(torch.tensor(0.3))},
        (6, 8),
    ),
    "one number in a list": (
        lambda net, x: torch.addmm(net.b, x, net.w).flatten()[None],
        lambda: {"w": nn.Parameter(torch.randn(8, 3)), "b": nn.Parameter(torch.tensor([0.3]))},
        (6, 8),
    ),
}


@pytest.mark.parametrize("composite", ["attnlrp", "epsilon", "epsilon_plus", "attnlrp_gamma"])
@pytest.mark.parametrize("name", ODD)
def test_odd_operands(name: str, composite: str) -> None:
    """As a ledger, which keeps all rows, has it."""
    if composite != "attnlrp" and name == "complex":
        return
    function, parts, shape = ODD[name]
    torch.manual_seed(0)
    model = (
        Net(function, **parts()).double().eval() if name != "complex" else Net(function, **parts())
    )
    x = random(*shape)
    for target in range(3):
        wanted = lxt.attribute(model, x, target, composite, ledger=True)
        assert float(wanted.ledger.gap.abs().max()) < 1e-6  # type: ignore[union-attr]
        found = lxt.attribute(model, x, target, composite)
        assert torch.allclose(found.relevance, wanted.relevance, rtol=1e-11, atol=1e-13)


def test_a_linear_operation_inside_vmap() -> None:
    weight, x = random(3, 8), random(6, 8)
    inside, plain = (
        Net(function, weight=nn.Parameter(weight.clone()))
        for function in (
            lambda net, x: torch.vmap(lambda t: F.linear(t, net.weight))(x).flatten()[None],
            lambda net, x: F.linear(x, net.weight).flatten()[None],
        )
    )
    assert torch.allclose(
        lxt.attribute(inside, x, 4).relevance, lxt.attribute(plain, x, 4).relevance, rtol=1e-12
    )


class Scaled(torch.Tensor):
    """A weight that is kept otherwise than as numbers, as quantised ones are."""

    seen: ClassVar[list[str]] = []

    @staticmethod
    def __new__(cls, values: Tensor) -> Scaled:
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, dtype=values.dtype)

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return Scaled(args[0].values)
        name = func.overloadpacket.__name__
        if name not in ("t", "mm", "addmm", "linear", "view", "transpose"):
            raise NotImplementedError(name)
        cls.seen.append(name)
        plain = [a.values if isinstance(a, Scaled) else a for a in args]
        found = func(*plain, **(kwargs or {}))
        return Scaled(found) if name in ("t", "transpose") else found


def test_a_weight_of_another_kind_goes_its_own_way() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3)).double().eval()
    x = random(4, 8)
    wanted = lxt.attribute(model, x, 0).relevance
    for layer in (model[0], model[2]):
        layer.weight = nn.Parameter(Scaled(layer.weight.detach()), requires_grad=False)
    assert torch.allclose(lxt.attribute(model, x, 0).relevance, wanted, rtol=1e-12)
    assert Scaled.seen


def test_hidden_gradients_stay_what_they_were() -> None:
    """A user's patch differentiates twice where torch does."""
    model = zoo.build("bert", "sequence-classification", "eager").double()
    x = random(1, 4, 32).requires_grad_()
    with lxt.patch(model, "gradient") as patch:
        assert not patch.session.tail
        score = model(inputs_embeds=x).logits[0, 0]
        (g,) = torch.autograd.grad(score, x, create_graph=True)
        (second,) = torch.autograd.grad(g.sum(), x)
    assert second.abs().sum() > 0
