"""A linear operation that interception misses is seen by the walk, where it has a rule."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import UnruledError, UnruledWarning
from tests.oracles.arrays import relative_error
from tests.support import Bare, account, draw, random

RULED = ("epsilon", "epsilon_plus", "epsilon_alpha2_beta1", "attnlrp_gamma")
X = {n: random(2, 4, *[5] * n) for n in (1, 2, 3)}
CONVS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.Module]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strided": {"stride": 2, "padding": 1, "dilation": 1, "groups": 2},
    "no bias": {"bias": False, "padding": 1},
}


def directly(c: Any, x: Tensor, named: bool) -> Tensor:
    options = {
        "stride": c.stride,
        "padding": c.padding,
        "dilation": c.dilation,
        "transposed": c.transposed,
        "output_padding": c.output_padding,
        "groups": c.groups,
    }
    if named:
        return torch.convolution(x, c.weight, bias=c.bias, **options)
    return torch.convolution(x, c.weight, c.bias, *options.values())


class Net(nn.Module):
    def __init__(self, conv: nn.Module, run: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.run, self.head = conv, run, nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.run(self.conv, x)).flatten(1))


def net(run: Callable[[Any, Tensor], Tensor], n: int, cls: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    made = Net(cls(4, 6, 3, **options), run).double()
    made(X[n])
    return draw(made)


@pytest.mark.parametrize("composite", ["attnlrp", *RULED])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", ["conv", "transposed"])
def test_torch_convolution(kind: str, n: int, options: str, composite: str) -> None:
    cls = (CONVS if kind == "conv" else TRANSPOSED)[n]
    wanted = account(net(lambda c, x: c(x), n, cls, **OPTIONS[options]), X[n], 0, composite)
    for named in (False, True):
        one = net(lambda c, x, named=named: directly(c, x, named), n, cls, **OPTIONS[options])
        found = account(one, X[n], 0, composite)
        assert relative_error(found.relevance, wanted.relevance) < 1e-12


def test_torch_convolution_merges_with_its_batch_norm() -> None:
    def model(run: Callable[[Any, Tensor], Tensor]) -> Any:
        torch.manual_seed(1)
        norm = nn.BatchNorm2d(6).double()
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
        return net(lambda c, x: norm.eval()(run(c, x)), 2, nn.Conv2d)

    one, two = model(lambda c, x: directly(c, x, False)), model(lambda c, x: c(x))
    found, wanted = (account(m, X[2], 0, "epsilon_plus").relevance for m in (one, two))
    assert relative_error(found, wanted) < 1e-12


def batched(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    out: Tensor = torch.vmap(function)(x)
    return out


@torch.jit.script
def scripted(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return torch.nn.functional.linear(x, w, b)


W, B, K = random(3, 6, seed=1), random(3, seed=2), random(3, 2, 2, seed=3)

# what no handler sees -> the same seen
MISSED: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "vmap of linear": (lambda x: batched(lambda t: F.linear(t, W), x), lambda x: F.linear(x, W)),
    "vmap of conv": (
        lambda x: batched(lambda t: F.conv1d(t, K), x.view(2, 2, 3)).flatten(1),
        lambda x: F.conv1d(x.view(2, 2, 3), K).flatten(1),
    ),
    "vmap with a bias": (
        lambda x: batched(lambda t: F.linear(t, W, B), x),
        lambda x: F.linear(x, W, B),
    ),
    "a scripted function": (lambda x: scripted(x, W, B), lambda x: F.linear(x, W, B)),
}
FEATURES = random(2, 6)


@pytest.mark.parametrize("composite", RULED)
@pytest.mark.parametrize("name", MISSED)
def test_what_has_a_rule_and_was_missed_is_refused(name: str, composite: str) -> None:
    missed, _ = (Bare(f) for f in MISSED[name])
    with pytest.raises(UnruledError, match=r"no rule.*(Addmm|Mm|Mv|Linear|Convolution)"):
        lxt.attribute(missed, FEATURES, 0, composite)
    with lxt.patch(missed, composite), pytest.raises(UnruledError):
        missed(FEATURES.clone().requires_grad_())
    with pytest.warns(UnruledWarning, match="plain gradient"):
        lxt.attribute(missed, FEATURES, 0, composite, strict=False)


@pytest.mark.parametrize("name", MISSED)
def test_where_its_rule_is_the_plain_gradient_it_is_right(name: str) -> None:
    missed, seen = (Bare(f) for f in MISSED[name])
    wanted = account(seen, FEATURES, 0).relevance
    assert relative_error(lxt.attribute(missed, FEATURES, 0).relevance, wanted) < 1e-12


@pytest.mark.parametrize("name", MISSED)
def test_a_ledger_does_not_lose_a_bias_that_nobody_saw(name: str) -> None:
    missed, _ = (Bare(f) for f in MISSED[name])
    with pytest.raises(UnruledError, match=r"account|no rule"):
        lxt.attribute(missed, FEATURES, 0, ledger=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnruledWarning)
        found = lxt.attribute(missed, FEATURES, 0, ledger=True, strict=False)
    biased = "bias" in name or "script" in name
    assert found.ledger.closed != biased


def test_a_mixed_composite_knows_what_its_handlers_saw() -> None:
    """One layer keeps the plain gradient, the other does not; both were seen."""
    model = draw(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double())
    rules = lxt.composites.AttnLRP().assignments
    for mixed in (
        lxt.Composite([*rules, lxt.Assign(lxt.rules.ZPlus(), name="2")]),
        lxt.Composite([*rules, lxt.Assign(lxt.rules.Gamma(0.3), where="first")]),
        lxt.Composite([*rules, lxt.Assign(lxt.rules.Gamma(0.3), kind="conv")]),
    ):
        account(model, FEATURES, 0, mixed)
