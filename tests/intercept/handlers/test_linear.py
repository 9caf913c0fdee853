"""Linear layers and convolutions met in a model: their biases and stabilizers are booked."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from tests.oracles import linear as oracle
from tests.oracles.arrays import relative_error
from tests.support import account, draw, random

LAYERS = {
    "Linear": (nn.Linear(5, 4), (2, 5)),
    "Linear on tokens": (nn.Linear(5, 4), (2, 3, 5)),
    "Conv1d": (nn.Conv1d(2, 4, 3, stride=2, padding=1), (2, 2, 7)),
    "Conv2d": (nn.Conv2d(4, 4, 2, groups=2), (2, 4, 3, 3)),
    "Conv2d, padding by name": (nn.Conv2d(2, 4, 3, padding="same"), (2, 2, 3, 3)),
    "Conv3d": (nn.Conv3d(1, 2, 2), (2, 1, 3, 2, 2)),
    "ConvTranspose2d": (nn.ConvTranspose2d(2, 3, 2, stride=2), (2, 2, 2, 2)),
    "circular": (nn.Conv1d(2, 4, 3, padding=1, padding_mode="circular"), (2, 2, 5)),
}


class Net(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        return torch.stack([out.flatten(1).sum(1), out.flatten(1)[:, 0]], 1)


@pytest.mark.parametrize("eps", [0.0, 0.5])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, eps: float) -> None:
    layer, shape = LAYERS[name]
    model = draw(Net(layer)).double()
    got = account(model, random(*shape), composite=lxt.composites.Epsilon(eps))
    assert set(got.ledger.entries) == {"bias", "epsilon"} if eps else {"bias"}


def test_epsilon_by_its_definition() -> None:
    model, x = draw(Net(nn.Linear(5, 4))).double(), random(3, 5)
    got = account(model, x, composite=lxt.composites.Epsilon(0.5))
    layer = model.layer
    want = oracle.linear(x, layer.weight, layer.bias, layer(x), epsilon=0.5)
    assert relative_error(got.relevance, want["x"]) < 1e-12
    for cause in ("bias", "epsilon"):
        assert relative_error(got.ledger.entries[cause], want[cause].sum(1)) < 1e-12


def test_weights_made_by_the_input_are_a_product() -> None:
    """A hypernetwork: F.linear of two activations is bilinear, half to each."""

    class Hyper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.make, self.head = nn.Linear(4, 12), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            made = self.make(x[:1]).view(3, 4)
            return self.head(nn.functional.linear(x, made))

    model, x = draw(Hyper()).double(), random(1, 4)
    got = account(model, x)
    product = model.head.weight[0] * nn.functional.linear(x, model.make(x).view(3, 4))
    assert got.score.item() == pytest.approx(float(product.sum() + model.head.bias[0]))
    # half reaches x as the left factor; of the other half the bias of `make` keeps its share
    made = model.make(x).view(3, 4)
    left = x * (model.head.weight[0] @ made) / 2
    g_made = torch.outer(model.head.weight[0], x[0]).flatten() / 2
    right = x * (g_made @ model.make.weight)
    assert relative_error(got.relevance, left + right) < 1e-12


def test_the_bias_entry_is_b_times_its_gradient() -> None:
    model, x = (
        draw(nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))).double(),
        random(2, 5),
    )
    ledger = account(model, x).ledger
    for row in range(2):
        biases = [model[0].bias, model[2].bias]
        with lxt.patch(model):
            for b in biases:
                b.requires_grad_(True)
            grads = torch.autograd.grad(model(x[row : row + 1])[0, 0], biases)
        want = sum(float((b * g).sum()) for b, g in zip(biases, grads, strict=True))
        assert float(ledger.entries["bias"][row]) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 5)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("composite", ["attnlrp", "epsilon", "epsilon_plus", "gamma"])
def test_weights_of_one_output(shape: tuple[int, ...], bias: bool, composite: str) -> None:
    """F.linear takes a vector as weight: one output, and no dimension for it."""
    if bias and len(shape) == 2:
        pytest.skip("torch refuses a bias there")

    class One(nn.Module):
        def __init__(self, flat: bool) -> None:
            super().__init__()
            self.flat, self.first = flat, nn.Linear(5, 5)
            self.w, self.b = nn.Parameter(torch.zeros(5)), nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x).reshape(shape)
            b = self.b if bias else None
            if self.flat:
                out = F.linear(x, self.w, b)
            else:
                out = F.linear(x, self.w[None], None if b is None else b[None]).squeeze(-1)
            return out.reshape(out.shape[0] if out.dim() else 1, -1)

    rules = {"gamma": lxt.Composite([lxt.Assign(lxt.rules.Gamma(0.25), kind="linear")])}
    chosen = rules.get(composite, composite)
    models = [draw(One(flat)).double() for flat in (True, False)]
    x = random(*shape) if len(shape) > 1 else random(1, *shape)
    got, want = (account(model, x, composite=chosen) for model in models)
    assert relative_error(got.relevance, want.relevance) < 1e-11
    assert set(got.ledger.entries) == set(want.ledger.entries)
