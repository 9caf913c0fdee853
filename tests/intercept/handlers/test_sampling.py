"""Sampling, norms over places and thresholds: against their definitions, and the account."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from tests.support import random

SCORE = lxt.targets.Output(lambda out: out.flatten(1).sum(-1))
GRID = random(2, 5, 4, 2, seed=9).tanh()
X, G = random(2, 4, 6, 6), random(2, 400, seed=7)
Unary = Callable[[Tensor], Tensor]


class Weighed(nn.Module):
    """The score is sum g f(x)."""

    def __init__(self, f: Unary) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        z = self.f(x * 1.0).flatten(1)
        return z * G[:, : z.shape[1]]


def explained(f: Unary, x: Tensor, composite: str = "attnlrp") -> lxt.Attribution:
    """Checked: the account closes, and values are the model's own to the last bit."""
    model = Weighed(f)
    found = lxt.attribute(model, x, SCORE, composite, ledger=True)
    plain = lxt.attribute(model, x, SCORE, composite)
    assert torch.equal(found.relevance, plain.relevance)
    assert torch.equal(found.output, model(x)) and torch.equal(plain.output, model(x))
    assert found.ledger is not None and found.ledger.closed
    return found


def constant_places(z: Tensor) -> Tensor:
    return F.grid_sample(z, GRID, align_corners=False)


LINEAR: dict[str, Unary] = {
    "nearest-exact": lambda z: F.interpolate(z, scale_factor=1.7, mode="nearest-exact"),
    "nearest-exact, 1-d": lambda z: F.interpolate(z.flatten(2), size=13, mode="nearest-exact"),
    "nearest-exact, 3-d": lambda z: F.interpolate(z[:, None], size=(3, 4, 5), mode="nearest-exact"),
    "bilinear, antialiased": lambda z: F.interpolate(
        z, size=(4, 3), mode="bilinear", antialias=True
    ),
    "bicubic, antialiased": lambda z: F.interpolate(z, size=(4, 3), mode="bicubic", antialias=True),
    "grid_sample": constant_places,
    "grid_sample, by name": lambda z: F.grid_sample(
        z, grid=GRID, padding_mode="border", align_corners=True
    ),
    "grid_sample, 3-d": lambda z: F.grid_sample(
        z[:, None], F.pad(GRID, (1, 0))[:, None], align_corners=False
    ),
    "channel_shuffle": lambda z: F.channel_shuffle(z, 2),
    "max_unpool2d": lambda z: F.max_unpool2d(z[:, :, :3, :3], POOLED, 2),
}
POOLED = F.max_pool2d(random(2, 4, 6, 6, seed=3), 2, return_indices=True)[1]


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_map_keeps_the_gradient(name: str) -> None:
    f = LINEAR[name]
    found = explained(f, X)
    # a linear map is the sum of what it makes of each input alone
    out = f(X).flatten(1)
    assert torch.allclose(f(X[:1].repeat(2, 1, 1, 1) * 0).flatten(1), 0 * out)
    score = (out * G[:, : out.shape[1]]).sum(-1)
    assert torch.allclose(found.relevance.sum((1, 2, 3)), score)
    for at in ((0, 0, 0), (1, 2, 3), (3, 5, 5)):
        alone = torch.zeros_like(X)
        alone[(slice(None), *at)] = X[(slice(None), *at)]
        want = (f(alone).flatten(1) * G[:, : out.shape[1]]).sum(-1)
        assert torch.allclose(found.relevance[(slice(None), *at)], want)


def test_places_that_depend_on_the_input_are_held() -> None:
    def moved(z: Tensor) -> Tensor:
        return F.grid_sample(z, z[:, :2].movedim(1, -1).tanh(), align_corners=False)

    def held(z: Tensor) -> Tensor:
        return F.grid_sample(z, X[:, :2].movedim(1, -1).tanh(), align_corners=False)

    assert torch.allclose(explained(moved, X).relevance, explained(held, X).relevance)


@pytest.mark.parametrize("at", [-0.4, 0.0, 0.4])
@pytest.mark.parametrize("value", [-0.3, 0.0, 0.2])
@pytest.mark.parametrize("form", ["function", "in place", "positional", "method"])
def test_a_threshold(at: float, value: float, form: str) -> None:
    forms: dict[str, Unary] = {
        "function": lambda z: F.threshold(z, threshold=at, value=value),
        "in place": lambda z: nn.Threshold(at, value, inplace=True)(z),
        "positional": lambda z: F.threshold(z, at, value, True),
        "method": lambda z: torch.threshold_(z, at, value),
    }
    found = explained(forms[form], X)
    f = torch.where(at < X, X, value)
    offset = 0.0 if at < 0 else value
    want = (f - offset).flatten(1) * G[:, : f[0].numel()]
    assert torch.allclose(found.relevance.flatten(1), want)
    assert found.ledger is not None
    kept = offset * G[:, : f[0].numel()].sum(-1)
    booked = found.ledger.entries.get("activation", torch.zeros(2))
    assert torch.allclose(booked.double(), kept.double())


@pytest.mark.parametrize("form", ["rrelu", "in place", "torch", "torch in place"])
@pytest.mark.parametrize("composite", ["attnlrp", "epsilon_plus"])
def test_rrelu_in_eval_mode_is_a_leaky_relu(form: str, composite: str) -> None:
    forms: dict[str, Unary] = {
        "rrelu": nn.RReLU(0.1, 0.3).eval(),
        "in place": nn.RReLU(0.1, 0.3, inplace=True).eval(),
        "torch": lambda z: torch.rrelu(z, 0.1, 0.3),
        "torch in place": lambda z: torch.rrelu_(z, 0.1, 0.3),
    }
    want = explained(lambda z: F.leaky_relu(z, 0.2), X, composite)
    assert torch.allclose(explained(forms[form], X, composite).relevance, want.relevance)
    with pytest.raises(lxt.errors.UnruledError, match="draws its slopes"):
        lxt.attribute(Weighed(nn.RReLU().train()), X, SCORE, composite)


@pytest.mark.parametrize("p", [1, 2, 3, float("inf")])
def test_lp_pooling_shares_by_powers(p: float) -> None:
    x = X.abs() + 0.1
    found = explained(lambda z: F.lp_pool2d(z, p, 2), x)
    cells = F.unfold(x.flatten(0, 1)[:, None], 2, stride=2)  # [maps, 4, cells]
    share = cells**p / (cells**p).sum(1, keepdim=True)
    if p == float("inf"):
        share = (cells == cells.amax(1, keepdim=True)).double()
    relevance = (F.lp_pool2d(x, p, 2).flatten(1) * G[:, :36]).reshape(8, 1, 9)
    want = F.fold(share * relevance, (6, 6), 2, stride=2).reshape(x.shape)
    assert torch.allclose(found.relevance, want)


@pytest.mark.parametrize("dims", [3, 4, 5])
def test_local_response_norm_holds_its_divisor(dims: int) -> None:
    shapes: dict[int, Unary] = {
        3: lambda z: z.flatten(2),
        4: lambda z: z,
        5: lambda z: z[..., None],
    }
    norm = nn.LocalResponseNorm(3, alpha=0.7, beta=0.6, k=1.5)
    found = explained(lambda z: norm(shapes[dims](z)), X)
    want = norm(shapes[dims](X)).flatten(1) * G[:, :144]
    assert torch.allclose(found.relevance.flatten(1), want)
