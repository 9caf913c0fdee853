"""Every rule for linear operations against its definition, connection by connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import rules
from lxt_like.errors import RuleError
from tests.oracles import connections as oracle
from tests.support import bare, random
from tests.test_cnns import COMMON


@dataclass(frozen=True)
class Case:
    """A module with one linear operation, for samples of ``shape``."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]


CASES: dict[str, Case] = {
    "linear": Case(partial(nn.Linear, 5, 4), (5,)),
    "tokens": Case(partial(nn.Linear, 3, 4), (2, 3)),
    "conv1d, strided and padded": Case(partial(nn.Conv1d, 2, 3, 3, 2, 1), (2, 7)),
    "conv2d, dilated": Case(partial(nn.Conv2d, 2, 3, 2, dilation=2), (2, 4, 5)),
    "conv2d, grouped": Case(partial(nn.Conv2d, 4, 6, 2, groups=2), (4, 3, 3)),
    "conv2d, depthwise": Case(partial(nn.Conv2d, 3, 6, 3, padding=1, groups=3), (3, 3, 3)),
    "conv2d, same": Case(partial(nn.Conv2d, 2, 2, (2, 3), padding="same"), (2, 3, 4)),
    "conv2d, valid": Case(partial(nn.Conv2d, 2, 2, 2, padding="valid"), (2, 3, 3)),
    "conv3d": Case(partial(nn.Conv3d, 1, 2, 2, (1, 2, 1), (1, 0, 0)), (1, 2, 4, 3)),
    "transposed 1d": Case(partial(nn.ConvTranspose1d, 2, 3, 3, 2, 1, 1), (2, 4)),
    "transposed 2d, grouped": Case(
        partial(nn.ConvTranspose2d, 4, 6, 2, stride=2, groups=2), (4, 2, 2)
    ),
    "transposed 3d, dilated": Case(partial(nn.ConvTranspose3d, 2, 1, 2, dilation=2), (2, 1, 2, 2)),
}

LOW, HIGH = -4.0, 5.0
RULES: dict[str, tuple[rules.Rule, Callable[..., oracle.Share]]] = {
    "zero": (rules.Zero(), oracle.epsilon),
    "epsilon": (rules.Epsilon(0.3), partial(oracle.epsilon, eps=0.3)),
    "clipped": (rules.Epsilon(0.5, clip=True), partial(oracle.epsilon, eps=0.5, clip=True)),
    "scaled": (rules.Epsilon(0.2, scaled=True), partial(oracle.epsilon, eps=0.2, scaled=True)),
    "clipped and scaled": (
        rules.Epsilon(0.7, clip=True, scaled=True, zero_bias=True),
        partial(oracle.epsilon, eps=0.7, clip=True, scaled=True, zero_bias=True),
    ),
    "epsilon 0, no bias": (rules.Epsilon(zero_bias=True), partial(oracle.epsilon, zero_bias=True)),
    "gamma": (rules.Gamma(0.25), partial(oracle.gamma, gamma=0.25)),
    "gamma, no bias": (
        rules.Gamma(1.5, 0.1, zero_bias=True),
        partial(oracle.gamma, gamma=1.5, eps=0.1, zero_bias=True),
    ),
    "large gamma": (rules.Gamma(100.0), partial(oracle.gamma, gamma=100.0)),
    "classic gamma": (rules.ClassicGamma(0.25), partial(oracle.classic_gamma, gamma=0.25)),
    "classic gamma, no bias": (
        rules.ClassicGamma(2.0, 0.1, zero_bias=True),
        partial(oracle.classic_gamma, gamma=2.0, eps=0.1, zero_bias=True),
    ),
    "alpha 2 beta 1": (rules.AlphaBeta(), partial(oracle.alpha_beta, alpha=2.0, beta=1.0)),
    "alpha 3 beta 2": (
        rules.AlphaBeta(3.0, 2.0, 0.2, zero_bias=True),
        partial(oracle.alpha_beta, alpha=3.0, beta=2.0, eps=0.2, zero_bias=True),
    ),
    "z+": (rules.ZPlus(), partial(oracle.alpha_beta, alpha=1.0, beta=0.0)),
    "excitation": (
        rules.ZPlus(0.1, zero_bias=True),
        partial(oracle.alpha_beta, alpha=1.0, beta=0.0, eps=0.1, zero_bias=True),
    ),
    "z-box": (rules.ZBox(LOW, HIGH), oracle.z_box),
    "z-box by tensors": (
        rules.ZBox(torch.tensor([LOW], dtype=torch.float64), torch.tensor([HIGH]).double()),
        oracle.z_box,
    ),
    "w^2": (rules.WSquare(), oracle.w_square),
    "w^2 with bias": (
        rules.WSquare(0.1, zero_bias=False),
        partial(oracle.w_square, eps=0.1, zero_bias=False),
    ),
    "flat": (rules.Flat(), oracle.flat),
}
INPUTS = ("any", "none negative", "some zero", "none positive")


def draw(shape: tuple[int, ...], kind: str) -> Tensor:
    x = random(2, *shape, seed=3)
    if kind == "none negative":
        return x.abs()
    if kind == "none positive":
        return -x.abs()
    return x.clamp(min=0) * (x > 0.3) if kind == "some zero" else x


@cache
def drawn(name: str, biased: bool) -> tuple[nn.Module, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The module; its matrix; the matrix with all weights 1."""
    torch.manual_seed(1)
    case = CASES[name]
    module = case.make().double()
    weight = module.weight.data
    weight.copy_(random(*weight.shape, seed=5))
    (weight[:, 0] if isinstance(module, nn.modules.conv._ConvTransposeNd) else weight[0]).zero_()
    module.bias.data.copy_(random(*module.bias.shape, seed=8) if biased else 0 * module.bias.data)
    bias, module.bias = module.bias, None
    dense = oracle.matrix(module, case.shape)
    kept = weight.clone()
    weight.fill_(1.0)
    connected = oracle.matrix(module, case.shape)
    weight.copy_(kept)
    module.bias = bias
    return module.eval(), dense, connected


class Weighted:
    """A random weighted sum of the output: relevance of both signs arrives."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, out: Tensor) -> Tensor:
        return (out * self.weight).flatten(1).sum(1)


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("rule", RULES)
def test_definition(rule: str, name: str, kind: str) -> None:
    given, definition = RULES[rule]
    for biased in (True, False):
        module, dense, connected = drawn(name, biased)
        x = draw(CASES[name].shape, kind)
        out = module(x).detach()
        weight = random(*out.shape, seed=4)
        composite = lxt.Composite([*COMMON, given])
        target = lxt.targets.Output(Weighted(weight))
        found = lxt.attribute(module, x, target, composite, ledger=True)
        quick = lxt.attribute(module, x, target, composite).relevance
        book = found.ledger
        assert book is not None
        bias = module(torch.zeros_like(x[:1])).detach().reshape(-1).numpy()
        for i in range(len(x)):
            flat, r = x[i].reshape(-1).numpy(), (out * weight)[i].reshape(-1).numpy()
            more: dict[str, Any] = {}
            if definition is oracle.flat:
                more = {"connected": connected}
            elif definition is oracle.z_box:
                more = {"low": np.full_like(flat, LOW), "high": np.full_like(flat, HIGH)}
            want = definition(flat, dense, bias, r, **more)
            scale = np.abs(want.inputs).max() + np.abs(r).max() + 1e-12
            for got in (found.relevance[i], quick[i]):
                assert np.abs(got.reshape(-1).numpy() - want.inputs).max() < 1e-9 * scale
            for cause in {*want.kept, *book.entries}:
                booked = float(book.entries[cause][i]) if cause in book.entries else 0.0
                assert abs(booked - want.kept.get(cause, 0.0)) < 1e-9 * scale * len(r), cause
            assert abs(float(book.gap[i])) + float(book.unruled[i]) < 1e-9 * scale * len(r)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("rule", RULES)
def test_padding_modes(rule: str, mode: Any) -> None:
    """Copies at the border are inputs of their own, whose relevance goes back to their source."""
    given, definition = RULES[rule]
    torch.manual_seed(2)
    module = nn.Conv2d(1, 2, 3, padding=1, padding_mode=mode).double()
    x = random(1, 1, 3, 4, seed=6)
    out = module(x).detach()
    weight = random(*out.shape, seed=9)
    target = lxt.targets.Output(Weighted(weight))
    got = lxt.attribute(module, x, target, lxt.Composite([*COMMON, given])).relevance
    pads = "constant" if mode == "zeros" else mode
    padded = F.pad(x, (1, 1, 1, 1), mode=pads)
    bare_conv = partial(F.conv2d, weight=module.weight)
    dense = oracle.matrix(bare_conv, tuple(padded.shape[1:]))
    more: dict[str, Any] = {}
    if definition is oracle.flat:
        ones = partial(F.conv2d, weight=torch.ones_like(module.weight))
        inside = F.pad(torch.ones_like(x), (1, 1, 1, 1), mode=pads).reshape(-1).numpy()
        more = {"connected": oracle.matrix(ones, tuple(padded.shape[1:])) * inside[:, None]}
    elif definition is oracle.z_box:
        # zero padding is no input: it lies within no bounds
        inside = F.pad(torch.ones_like(x), (1, 1, 1, 1), mode=pads).reshape(-1).numpy()
        more = {"low": LOW * inside, "high": HIGH * inside}
    elif definition is oracle.w_square or rule == "w^2 with bias":
        inside = F.pad(torch.ones_like(x), (1, 1, 1, 1), mode=pads).reshape(-1).numpy()
        dense = dense * inside[:, None]
    bias = module.bias.detach()[:, None].expand(2, 12).reshape(-1).numpy()
    r = (out * weight).reshape(-1).numpy()
    want = definition(padded.reshape(-1).numpy(), dense, bias, r, **more)
    # where each padded pixel comes from
    index = torch.arange(1.0, 13.0).double().reshape(1, 1, 3, 4)
    source = F.pad(index, (1, 1, 1, 1), mode=pads).reshape(-1).long().numpy()
    summed = np.zeros(13)
    np.add.at(summed, source, want.inputs)
    assert np.abs(got.reshape(-1).numpy() - summed[1:]).max() < 1e-9 * np.abs(summed).max()


def relevance(rule: rules.Rule, w: Any, b: Any, x: Any, score: float) -> list[float]:
    layer = nn.Linear(len(x), 1).double()
    layer.weight.data = torch.tensor([w], dtype=torch.float64)
    layer.bias.data = torch.tensor([b], dtype=torch.float64)
    given = torch.tensor([x], dtype=torch.float64)
    out = float(layer(given).detach())
    target = lxt.targets.Output(lambda o: o[:, 0] * (score / out))
    found = lxt.attribute(layer, given, target, lxt.Composite([*COMMON, rule]))
    return [float(v) for v in found.relevance[0]]


def test_golden_case() -> None:
    assert relevance(rules.AlphaBeta(1.0, 0.0), [1, -1], -1, [1, 1], -1) == pytest.approx([-1, 0])
    assert relevance(rules.AlphaBeta(2.0, 1.0), [1, -1], -1, [1, 1], -1) == pytest.approx([-2, 0.5])
    assert relevance(rules.ZPlus(), [1, -1], -1, [1, 1], -1) == pytest.approx([-1, 0])


def deep(biased: bool = True) -> nn.Module:
    torch.manual_seed(4)
    layers = [nn.Conv2d(2, 5, 3, bias=biased), nn.ReLU(), nn.Conv2d(5, 6, 3, bias=biased)]
    layers += [nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4, 4, bias=biased)]
    return nn.Sequential(*layers).double()


def everywhere(rule: rules.Rule, x: Tensor, biased: bool = True) -> Tensor:
    composite = lxt.Composite([*COMMON, rule])
    found: Tensor = lxt.attribute(deep(biased), x, 1, composite).relevance
    return found


class TestIdentities:
    x = random(3, 2, 6, 6)

    def test_gamma_0_is_epsilon(self) -> None:
        want = everywhere(rules.Epsilon(1e-3), self.x)
        for rule in (rules.Gamma(0.0, 1e-3), rules.ClassicGamma(0.0, 1e-3)):
            assert torch.allclose(everywhere(rule, self.x), want, rtol=1e-10, atol=1e-14)

    def test_alpha_1_beta_0_is_z_plus(self) -> None:
        want = everywhere(rules.ZPlus(), self.x)
        assert torch.equal(everywhere(rules.AlphaBeta(1.0, 0.0), self.x), want)

    def test_epsilon_0_without_biases_is_input_times_gradient(self) -> None:
        want = lxt.attribute(deep(False), self.x, 1, "gradient").relevance
        for rule in (rules.Zero(), rules.Epsilon()):
            assert torch.allclose(everywhere(rule, self.x, False), want, rtol=1e-10, atol=1e-14)

    def test_a_large_gamma_tends_to_z_plus(self) -> None:
        x = self.x.abs()
        model = nn.Sequential(deep()[:2], nn.Flatten())
        target = lxt.targets.Output(lambda out: out.sum(1))
        want = lxt.attribute(model, x, target, lxt.Composite([*COMMON, rules.ZPlus()])).relevance
        for rule in (rules.Gamma(1e7), rules.ClassicGamma(1e7)):
            got = lxt.attribute(model, x, target, lxt.Composite([*COMMON, rule])).relevance
            assert torch.allclose(got, want, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(
        "rule", [rules.Zero(), rules.ZPlus(), rules.AlphaBeta(), rules.Gamma()]
    )
    def test_twice_the_input_is_twice_the_relevance(self, rule: rules.Rule) -> None:
        """Of bias-free ReLU networks."""
        one, two = everywhere(rule, self.x, False), everywhere(rule, 2 * self.x, False)
        assert torch.allclose(two, 2 * one, rtol=1e-10, atol=1e-14)

    def test_a_batch_is_its_samples(self) -> None:
        for rule in (rules.AlphaBeta(), rules.Gamma(), rules.Epsilon(0.1, scaled=True)):
            alone = torch.cat([everywhere(rule, self.x[i : i + 1]) for i in range(3)])
            assert torch.allclose(everywhere(rule, self.x), alone, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.AlphaBeta(2.0, 0.5), "alpha - beta must be 1"),
        (lambda: rules.Gamma(-0.1), "gamma must be a finite number >= 0"),
        (lambda: rules.ClassicGamma(float("nan")), "gamma must be a finite number"),
        (lambda: rules.ZPlus(-1e-6), "eps must be a finite number"),
        (lambda: rules.ZBox(1.0, -1.0), "low must not exceed high"),
        (lambda: rules.ZBox(torch.tensor([0.0, 2.0]), 1.0), "low must not exceed high"),
        (lambda: rules.ZBox(torch.zeros(2), torch.zeros(3)), "do not broadcast"),
        (lambda: rules.ZBox("a", 1.0), "must be a number or a finite float tensor"),
        (lambda: rules.ZBox(float("-inf"), 1.0), "must be finite"),
        (lambda: rules.Flat(eps=None), "eps must be a finite number"),
    ],
)
def test_bad_rules(make: Any, message: str) -> None:
    with pytest.raises(RuleError, match=message):
        make()


def test_bounds_that_do_not_fit_the_input() -> None:
    composite = lxt.Composite([*COMMON, rules.ZBox(torch.zeros(7), 1.0)])
    with pytest.raises(RuleError, match=r"a bound for each channel has the shape \[C, 1, 1\]"):
        lxt.attribute(deep()[:1], random(1, 2, 6, 6), lxt.targets.Output(Weighted(1.0)), composite)


@pytest.mark.parametrize(
    "product",
    [
        lambda x, w: x @ w,
        lambda x, w: torch.addmm(torch.ones(4).double(), x, w),
        lambda x, w: torch.einsum("bi,ij->bj", x, w),
        lambda x, w: torch.matmul(w.t(), x.t()).t(),
    ],
)
@pytest.mark.parametrize(
    "rule", [rules.AlphaBeta(), rules.Gamma(), rules.ZPlus(), rules.Epsilon(0.1)]
)
def test_products_with_a_constant_are_linear(product: Any, rule: rules.Rule) -> None:
    x, w = random(3, 5), random(5, 4)
    weight = random(3, 4, seed=2)
    target, composite = lxt.targets.Output(Weighted(weight)), lxt.Composite([*COMMON, rule])
    bias = product(torch.zeros(1, 5).double(), w)[0]
    layer = nn.Linear(5, 4).double()
    layer.weight.data, layer.bias.data = w.t().clone(), bias.clone()
    want = lxt.attribute(layer, x, target, composite).relevance
    got = lxt.attribute(bare(lambda t: product(t, w)), x, target, composite).relevance
    assert torch.allclose(got, want, rtol=1e-10, atol=1e-14)
