"""What is made of attention weights or gates and is a signal: nothing of it is held constant."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import lxt_like as lxt
from tests.oracles.arrays import relative_error

TABLE = torch.linspace(-1, 1, 20, dtype=torch.float64).view(5, 4).cos()
KERNEL = torch.linspace(-1, 1, 60, dtype=torch.float64).view(4, 5, 3).sin()

# scores [3, 5] or maps -> [3, 4] or [3, 1]: a signal, that a gate then multiplies
SIGNALS: dict[str, Callable[[Tensor], Tensor]] = {
    "soft embedding": lambda s: s.softmax(-1) @ TABLE,
    "soft embedding by a layer": lambda s: F.linear(s.softmax(-1), TABLE.T),
    "written out": lambda s: (s.softmax(-1)[..., None] * TABLE).sum(1),
    "einsum": lambda s: torch.einsum("bk,kd->bd", s.softmax(-1), TABLE),
    "convolved": lambda s: F.conv1d(s.softmax(-1)[..., None].expand(-1, -1, 3), KERNEL)[..., 0],
    "mean of a softmax": lambda s: s.softmax(-1).mean(-1, keepdim=True),
    "pooled sigmoid": lambda s: s.sigmoid().mean(-1, keepdim=True),
    "sum of exponentials": lambda s: s.exp().sum(-1, keepdim=True),
    "largest sigmoid": lambda s: s.sigmoid().amax(-1, keepdim=True),
    "norm of sigmoids": lambda s: s.sigmoid().norm(dim=-1, keepdim=True),
    "cumulated softplus": lambda s: F.softplus(s).cumsum(-1)[:, :4],
}


class Net(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor], hidden: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.head = nn.Linear(6, 5), nn.Linear(6, 4), nn.Linear(4, 2)
        self.function, self.hidden = function, hidden

    def forward(self, x: Tensor) -> Tensor:
        signal = self.function(self.a(x))
        if self.hidden:  # the same value, of no role
            signal = signal + 0 * x[:, :1]
        return self.head(signal * self.b(x).sigmoid())


def given() -> Tensor:
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
@pytest.mark.parametrize("name", SIGNALS)
def test_expectations_and_pooled_gates_are_signals(name: str, composite: str) -> None:
    one, two = (
        lxt.attribute(Net(SIGNALS[name], h).double(), given(), 0, composite).relevance
        for h in (False, True)
    )
    assert relative_error(one, two) < 1e-12


def test_a_layer_on_softmax_features_is_a_layer() -> None:
    class Groups(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.w = nn.Linear(6, 6), nn.Parameter(torch.randn(2, 3, 2))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("nhd,hde->ne", self.a(x).view(-1, 2, 3).softmax(-1), self.w)

    found = lxt.attribute(Groups().double(), given(), 0, "cp_lrp", ledger=True)
    assert float(found.relevance.abs().sum()) > 1e-2
    assert float(found.ledger.gap.abs().max()) < 1e-12


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_recurrent_output_may_be_written_into(kind: type[nn.RNNBase]) -> None:
    class Written(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.head, self.in_place = (
                kind(3, 4, batch_first=True),
                nn.Linear(4, 2),
                in_place,
            )

        def forward(self, x: Tensor) -> Tensor:
            out = self.rnn(x.view(-1, 2, 3))[0]
            if self.in_place:
                out *= 0.5
            else:
                out = out * 0.5
            return self.head(out.sum(1))

    one, two = (
        lxt.attribute(Written(i).double().eval(), given(), 0).relevance for i in (True, False)
    )
    assert relative_error(one, two) < 1e-12


def test_layers_of_a_packed_recurrent_layer() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            packed = pack_padded_sequence(x.view(-1, 2, 3), [2, 2, 1], batch_first=True)
            return self.head(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0].sum(1))

    model = Packed().double().eval()
    plain = lxt.attribute(model, given(), 0).relevance
    assert torch.equal(lxt.attribute(model, given(), 0, layers=["rnn"]).relevance, plain)


def test_a_recurrent_layer_without_gradient_is_cut() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.a, self.head = nn.LSTM(6, 4), nn.Linear(6, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                out = self.rnn(x[None])[0][0]
            return self.head(out + self.a(x))

    found = lxt.attribute(Cut().double().eval(), given(), 0, ledger=True).ledger
    assert "cut" in found.entries
    assert float(found.gap.abs().max()) < 1e-12


def test_a_forward_that_runs_twice_leaves_one_account() -> None:
    class Unnamed(nn.Module):
        """No get_input_embeddings, and positions that look like the ids."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.e, self.p = nn.Embedding(9, 4), nn.Embedding(5, 4)
            self.l, self.h = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, input_ids: Tensor) -> Tensor:
            at = self.p(torch.arange(5).expand(len(input_ids), 5))
            return self.h(self.l(at + self.e(input_ids)).relu().mean(1))

    model = Unnamed().eval()
    same, other = ({"input_ids": t[None]} for t in (torch.arange(5), torch.tensor([3, 1, 0, 7, 5])))
    found, wanted = (lxt.attribute(model, i, 0, layers=["l"]) for i in (same, other))
    assert list(found.layers) == list(wanted.layers) == ["l"]
    assert float(found.layers["l"].abs().sum()) > 0
    assert len(lxt.audit(model, same, 0).rows) == len(lxt.audit(model, other, 0).rows)
    assert len(lxt.plan(model, inputs=same).rows) == len(lxt.plan(model, inputs=other).rows)
