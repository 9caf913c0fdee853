"""A BatchNorm behind a linear operation is part of it, also where the output is moved between."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

import lxt_like as lxt
from lxt_like.intercept import merge
from tests.support import random

Form = Callable[[Tensor, nn.Module], Tensor]


def drawn(norm: nn.Module) -> nn.Module:
    norm.running_mean.data, norm.bias.data = random(6, seed=2), random(6, seed=3)
    norm.running_var.data, norm.weight.data = random(6, seed=4).abs() + 0.3, random(6, seed=5)
    return norm.double().eval()


def conv(side: int = 3) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(4, 6, side).double()


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 6).double()


IMAGE, WORDS = (2, 4, 5, 6), (2, 5, 4)
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], type[nn.Module], Form]] = {
    "conv, clone": (conv, IMAGE, nn.BatchNorm2d, lambda z, n: n(z.clone())),
    "conv, channels last": (
        conv, IMAGE, nn.BatchNorm2d,
        lambda z, n: n(z.contiguous(memory_format=torch.channels_last)),
    ),
    "conv, to another layout": (
        conv, IMAGE, nn.BatchNorm2d, lambda z, n: n(z.to(memory_format=torch.channels_last)),
    ),
    "conv, view of its shape": (conv, IMAGE, nn.BatchNorm2d, lambda z, n: n(z.view(2, 6, 3, 4))),
    "conv, flatten(2)": (conv, IMAGE, nn.BatchNorm1d, lambda z, n: n(z.flatten(2))),
    "conv, tokens": (
        conv, IMAGE, nn.BatchNorm1d,
        lambda z, n: n(z.permute(0, 2, 3, 1).reshape(-1, 6)).reshape(2, 3, 4, 6).movedim(-1, 1),
    ),
    "conv to one place, flatten(1)": (
        lambda: conv(5), (2, 4, 5, 5), nn.BatchNorm1d, lambda z, n: n(z.flatten(1)),
    ),
    "linear, flatten(0, 1)": (
        linear, WORDS, nn.BatchNorm1d, lambda z, n: n(z.flatten(0, 1)).reshape(2, 5, 6),
    ),
    "linear, transposed": (
        linear, WORDS, nn.BatchNorm1d, lambda z, n: n(z.transpose(1, 2)).transpose(1, 2),
    ),
}  # fmt: skip


class Net(nn.Module):
    def __init__(self, first: nn.Module, form: Callable[[Tensor], Tensor], width: int) -> None:
        super().__init__()
        self.first, self.form = first, form
        torch.manual_seed(1)
        self.head = nn.Linear(width, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.form(self.first(x)).relu().flatten(1))


@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon_alpha2_beta1", "attnlrp_gamma"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_folded_model(case: str, composite: str) -> None:
    make, shape, kind, form = CASES[case]
    x, norm = random(*shape), drawn(kind(6))
    fuse = fuse_linear_bn_eval if make is linear else fuse_conv_bn_eval
    folded = fuse(make().eval(), norm)
    width = folded(x)[0].numel()
    want = lxt.attribute(Net(folded, lambda z: z, width), x, 1, composite)
    for ledger in (False, True):
        net = Net(make(), lambda z: form(z, norm), width)
        found = lxt.attribute(net, x, 1, composite, ledger=ledger)
        assert torch.allclose(found.score, want.score)
        assert torch.allclose(found.relevance, want.relevance, atol=1e-12)
        assert not ledger or (found.ledger is not None and found.ledger.closed)


def test_a_scale_of_each_place_is_no_channel_s() -> None:
    """flatten(1) of a map: the norm is an affine map of its own, and all adds up."""
    norm = nn.BatchNorm1d(6 * 3 * 4).double().eval()
    norm.running_var.data = random(72).abs() + 0.3
    norm.weight.data, norm.bias.data = random(72, seed=1), random(72, seed=2)
    found = lxt.attribute(
        Net(conv(), lambda z: norm(z.flatten(1)), 72), random(*IMAGE), 1, "epsilon_plus",
        ledger=True,
    )  # fmt: skip
    assert found.ledger is not None and found.ledger.closed
    assert float(found.ledger.entries["bias"].abs().min()) > 0


def test_a_view_that_somebody_else_reads_is_not_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    norm = drawn(nn.BatchNorm1d(6))
    merged: list[bool] = []
    before = merge.Operation.step

    def watch(self: merge.Operation, *args: object) -> object:
        merged.append(self.merged)
        return before(self, *args)

    monkeypatch.setattr(merge.Operation, "step", watch)
    for twice in (False, True):
        merged.clear()

        def form(z: Tensor, twice: bool = twice) -> Tensor:
            flat = z.flatten(2)
            return norm(flat) + (flat if twice else 0)

        lxt.attribute(Net(conv(), form, 72), random(*IMAGE), 1, "epsilon_plus")
        assert any(merged) is not twice
