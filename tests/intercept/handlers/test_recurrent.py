"""LSTM, GRU and RNN kernels: against cells written out in plain autograd, and the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import lxt_like as lxt
from tests.oracles.arrays import relative_error

KINDS: dict[str, Callable[..., nn.RNNBase]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
}
FORMS: dict[str, dict[str, Any]] = {
    "one layer": {},
    "batch first": {"batch_first": True},
    "two layers, both ways": {"num_layers": 2, "bidirectional": True},
    "no bias": {"bias": False},
}
LENGTHS = [4, 2, 1]


class Net(nn.Module):
    """The mean of all outputs and of the last states, and a linear layer."""

    def __init__(self, kind: str, packed: bool = False, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = KINDS[kind](3, 5, **options)
        self.packed, self.first = packed, options.get("batch_first", False)
        width = (options.get("proj_size") or 5) * (2 if options.get("bidirectional") else 1)
        self.head = nn.Linear(width, 2)
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, time, 3]."""
        given = x if self.first else x.transpose(0, 1)
        if self.packed:
            given = pack_padded_sequence(given, LENGTHS, batch_first=self.first)
        out, state = self.rnn(given)
        if self.packed:
            out = pad_packed_sequence(out, batch_first=self.first)[0]
        states = state if isinstance(state, tuple) else (state,)
        self.kept = [out, *states]
        out = out if self.first else out.transpose(0, 1)
        return self.head(out.mean(1)) + sum(s.sum((0, 2))[:, None] for s in states)


def net(kind: str, **options: Any) -> Net:
    return Net(kind, **options).double().eval()


def given() -> Tensor:
    return torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(1)).double()


def straight(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(x) with gradient f(x) / x, and 0 at 0 / 0."""
    return x * torch.nan_to_num(f(x) / x).detach()


def written_out(model: Net, x: Tensor) -> Tensor:
    """The net over one layer in one direction, gates constant and activations straight."""
    r = model.rnn
    w, u = r.weight_ih_l0, r.weight_hh_l0
    b, d = (r.bias_ih_l0, r.bias_hh_l0) if r.bias else (w.new_zeros(len(w)), w.new_zeros(len(w)))
    h, c = x.new_zeros(len(x), 5), x.new_zeros(len(x), 5)
    outs = []
    for t in range(x.shape[1]):
        a, e = x[:, t] @ w.T + b, h @ u.T + d
        if isinstance(r, nn.LSTM):
            i, f, g, o = (a + e).split(5, 1)
            i, f, o = (torch.sigmoid(s).detach() for s in (i, f, o))
            c = f * c + i * straight(torch.tanh, g)
            h = o * straight(torch.tanh, c)
        elif isinstance(r, nn.GRU):
            reset, update = (torch.sigmoid(a[:, k : k + 5] + e[:, k : k + 5]) for k in (0, 5))
            reset, update = reset.detach(), update.detach()
            new = straight(torch.tanh, a[:, 10:] + reset * e[:, 10:])
            h = (1 - update) * new + update * h
        else:
            h = straight(torch.tanh if r.nonlinearity == "tanh" else torch.relu, a + e)
        outs.append(h)
    extra = [h, c] if isinstance(r, nn.LSTM) else [h]
    return model.head(torch.stack(outs).mean(0)) + sum(s.sum(1)[:, None] for s in extra)


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
@pytest.mark.parametrize("form", ["one layer", "batch first", "no bias"])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_the_cell_written_out(kind: str, form: str, composite: str) -> None:
    model, x = net(kind, **FORMS[form]), given()
    leaf = x.clone().requires_grad_()
    written_out(model, leaf)[:, 1].sum().backward()
    found = lxt.attribute(model, x, 1, composite)
    assert relative_error(found.relevance, x * leaf.grad) < 1e-12
    assert relative_error(found.score, written_out(model, x)[:, 1].detach()) < 1e-12


ALL = [*FORMS.items(), ("packed", {"packed": True}), ("projected", {"proj_size": 4})]
ALL += [("packed both ways", {"packed": True, "num_layers": 2, "bidirectional": True})]
CASES = [(k, n) for k in KINDS for n, o in ALL if k == "lstm" or "proj_size" not in o]


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(("kind", "form"), CASES)
def test_accounts_close_and_values_stay(kind: str, form: str) -> None:
    model, x = net(kind, **dict(ALL)[form]), given()
    before = model(x)
    kept = model.kept
    for composite in ("attnlrp", "epsilon"):
        found = lxt.attribute(model, x, 0, composite, ledger=True)
        assert torch.equal(found.output, before)
        assert all(map(torch.equal, model.kept, kept))
        assert float(found.ledger.gap.abs().max()) < 1e-12
        assert float(found.ledger.unruled.abs().max()) < 1e-12
        assert "activation" not in found.ledger.entries, "a gate took relevance"
    leaf = x.clone().requires_grad_()
    model(leaf)[:, 0].sum().backward()
    plain = lxt.attribute(model, x, 0, "gradient").relevance
    assert relative_error(plain, x * leaf.grad) < 1e-12


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh"])
def test_float32_values_are_the_kernels(kind: str) -> None:
    model = Net(kind, num_layers=2, bidirectional=True).eval()
    x = given().float()
    before, kept = model(x), model.kept
    found = lxt.attribute(model, x, 0, ledger=True)
    assert torch.equal(found.output, before)
    assert all(map(torch.equal, model.kept, kept))
    assert found.ledger.closed


class Stepwise(nn.Module):
    """A cell module, step by step."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
        return self.head(state[0] if isinstance(state, tuple) else state)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells_equal_layers(kind: type[nn.RNNCellBase]) -> None:
    torch.manual_seed(0)
    model = Stepwise(kind(3, 5)).double().eval()
    layers: dict[type[nn.RNNCellBase], type[nn.RNNBase]] = {
        nn.LSTMCell: nn.LSTM,
        nn.GRUCell: nn.GRU,
        nn.RNNCell: nn.RNN,
    }
    whole = layers[kind](3, 5, batch_first=True).double()
    for name, value in model.cell.state_dict().items():
        whole.state_dict()[f"{name}_l0"].copy_(value)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = whole, model.head

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    x = given()
    found = lxt.attribute(model, x, 0, ledger=True)
    assert float(found.ledger.gap.abs().max()) < 1e-12
    assert relative_error(found.relevance, lxt.attribute(Whole(), x, 0).relevance) < 1e-12


def test_a_decoder_passes_relevance_to_its_first_state() -> None:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start, self.rnn = nn.Linear(3, 5), nn.GRU(3, 5, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            first = self.start(x.mean(1))[None]
            return self.rnn(torch.zeros_like(x), first)[0][:, -1]

    torch.manual_seed(0)
    found = lxt.attribute(Decoder().double().eval(), given(), 0, ledger=True)
    assert float(found.ledger.gap.abs().max()) < 1e-12
    assert float(found.relevance.abs().sum()) > 1e-3


def test_dropout_between_layers_is_refused() -> None:
    model = Net("lstm", num_layers=2, dropout=0.5).double().train()
    with pytest.raises(lxt.errors.UnruledError, match=r"dropout between recurrent layers.*in rnn"):
        lxt.attribute(model, given(), 0)


def test_the_training_gradient_is_the_plain_one_outside() -> None:
    model, x = net("lstm"), given()
    lxt.attribute(model, x, 0)
    model(x)[:, 0].sum().backward()
    found = [p.grad.clone() for p in model.parameters()]
    fresh = net("lstm")
    fresh(x)[:, 0].sum().backward()
    assert all(torch.equal(a, p.grad) for a, p in zip(found, fresh.parameters(), strict=True))
