"""What depends on the explained input: a weight is a weight, however it is made of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import lxt_like as lxt
from lxt_like.rules.live import Explained, explaining, is_active, is_weight
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, Rounded, inline, random


class Net(nn.Module):
    """``body(self, x)`` for x [2, 5, 8] -> [2, 8], then a linear head; parts by name."""

    def __init__(self, body: Callable[[Any, Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(8, 3)
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(self, x))
        return out


def attend(m: Any, x: Tensor) -> Tensor:
    out: Tensor = m.a(x, x, x, need_weights=False)[0].mean(1)
    return out


def attend_explicitly(m: Any, x: Tensor) -> Tensor:
    out: Tensor = m.a(x, x, x)[0].mean(1)
    return out


def called(m: Any, x: Tensor) -> Tensor:
    out: Tensor = m.a(x).mean(1)
    return out


def heads(**options: Any) -> nn.Module:
    return nn.MultiheadAttention(8, 2, batch_first=True, **options)


def dense() -> nn.Linear:
    return nn.Linear(8, 8)


def parameter(*shape: int, seed: int = 3) -> nn.Parameter:
    return nn.Parameter(random(*shape, seed=seed, dtype=torch.float32))


def pruned() -> nn.Module:
    layer = dense()
    prune.random_unstructured(layer, "weight", 0.3)
    return layer


def cached() -> nn.Module:
    """Its weight has a graph from before the patch."""
    layer = dense()
    scale = parameter(8, 1)
    w = layer.weight
    del layer.weight
    layer.weight = w * scale
    return layer


def hyper(m: Any, x: Tensor) -> Tensor:
    weight = m.a(m.code).view(8, 8)
    return F.linear(x, weight).mean(1)


def folded_norm(m: Any, x: Tensor) -> Tensor:
    scale = m.w / torch.sqrt(m.var + 1e-5)
    return F.linear(x, m.a.weight * scale[:, None], (m.a.bias - m.mean) * scale).mean(1)


MADE: dict[str, Callable[[], Net]] = {
    "attention": lambda: Net(attend, a=heads()),
    "attention with weights": lambda: Net(attend_explicitly, a=heads()),
    "attention, kdim": lambda: Net(attend, a=heads(kdim=8, vdim=8)),
    "attention, bias_kv": lambda: Net(attend, a=heads(add_bias_kv=True)),
    "attention, zero": lambda: Net(attend_explicitly, a=heads(add_zero_attn=True)),
    "encoder layer": lambda: Net(called, a=nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)),
    "lstm": lambda: Net(lambda m, x: m.a(x)[0].mean(1), a=nn.LSTM(8, 8, batch_first=True)),
    "pruned": lambda: Net(called, a=pruned()),
    "spectral_norm": lambda: Net(called, a=parametrizations.spectral_norm(dense())),
    "orthogonal": lambda: Net(called, a=parametrizations.orthogonal(dense())),
    "weight_norm": lambda: Net(called, a=parametrizations.weight_norm(dense())),
    "cached": lambda: Net(called, a=cached()),
    "masked": lambda: Net(
        lambda m, x: F.linear(x, m.w * m.b).mean(1),
        w=parameter(8, 8),
        b=random(8, 8, dtype=torch.float32) > 0,
    ),
    "gain": lambda: Net(
        lambda m, x: (x * (m.w * m.b)).mean(1), w=parameter(8), b=random(8, dtype=torch.float32)
    ),
    "joined": lambda: Net(
        lambda m, x: F.linear(x, torch.cat([m.w, m.b])).mean(1),
        w=parameter(5, 8),
        b=random(3, 8, dtype=torch.float32),
    ),
    "folded BatchNorm": lambda: Net(
        folded_norm,
        a=dense(),
        w=parameter(8),
        var=random(8, dtype=torch.float32).abs(),
        mean=random(8, seed=1, dtype=torch.float32),
    ),
    "embedding as weight": lambda: Net(
        lambda m, x: (x @ m.a(m.at)).mean(1), a=nn.Embedding(20, 8), at=torch.arange(8)
    ),
    "embedding as gain": lambda: Net(
        lambda m, x: (x * m.a(m.at)).mean(1), a=nn.Embedding(20, 8), at=torch.arange(5)
    ),
    "hypernetwork of a buffer": lambda: Net(
        hyper, a=nn.Linear(4, 64), code=random(4, dtype=torch.float32)
    ),
    "two factors": lambda: Net(
        lambda m, x: F.linear(x, m.u @ m.v).mean(1), u=parameter(8, 2), v=parameter(2, 8)
    ),
    "straight-through": lambda: Net(
        lambda m, x: F.linear(x, Rounded.apply(m.w)).mean(1), w=parameter(8, 8)
    ),
    "gained weights": lambda: Net(
        lambda m, x: ((x @ x.mT).softmax(-1) * m.w @ x).mean(1), w=parameter(1, 1)
    ),
    "queries": lambda: Net(
        lambda m, x: F.scaled_dot_product_attention(m.w.expand(2, -1, -1), x, x).mean(1),
        w=parameter(1, 4, 8),
    ),
    "values": lambda: Net(
        lambda m, x: (x + x[..., :4].softmax(-1) @ m.w.expand(2, -1, -1)).mean(1),
        w=parameter(1, 4, 8),
    ),
    "power": lambda: Net(lambda m, x: (x.abs() ** m.w).mean(1), w=nn.Parameter(torch.tensor(3.0))),
    "softmax of a parameter": lambda: Net(
        lambda m, x: (x * m.w.softmax(-1)).mean(1), w=parameter(8)
    ),
    "norm of a parameter": lambda: Net(
        lambda m, x: F.linear(x, F.layer_norm(m.w, (8,))).mean(1), w=parameter(8, 8)
    ),
}


def grad(model: nn.Module, x: Tensor, composite: str, freeze: bool) -> Tensor:
    given = x.clone().requires_grad_()
    with lxt.patch(model, composite, freeze=freeze):
        (found,) = torch.autograd.grad(model(given)[:, 0].sum(), given)
    return found


@pytest.mark.parametrize("composite", [*COMPOSITES, "epsilon"])
@pytest.mark.parametrize("name", MADE)
def test_freezing_changes_no_relevance(name: str, composite: str) -> None:
    torch.manual_seed(0)
    model, x = MADE[name]().eval(), random(2, 5, 8, dtype=torch.float32)
    frozen, free = (grad(model, x, composite, freeze) for freeze in (True, False))
    assert frozen.abs().max() > 0
    assert relative_error(free, frozen) < 1e-6


def test_a_weight_with_a_graph_of_its_own_is_a_weight() -> None:
    """Made before the patch, so that freezing parameters does not reach it."""
    model, x = MADE["cached"]().eval(), random(2, 5, 8, dtype=torch.float32)
    made = grad(model, x, "attnlrp", True)
    model.a.weight = model.a.weight.detach()
    assert relative_error(made, grad(model, x, "attnlrp", True)) < 1e-6


def test_parameters_keep_their_gradients() -> None:
    model, x = MADE["pruned"](), random(2, 5, 8, dtype=torch.float32).requires_grad_()
    with lxt.patch(model, freeze=False):
        model(x)[:, 0].sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_looked_up_words_are_explained_where_only_ids_are_given() -> None:
    """Both factors of the product are words: half to each, and weights made beside them."""

    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e, self.c = nn.Embedding(9, 6).double(), nn.Linear(6, 2).double()
            self.seen: list[Tensor] = []

        def forward(self, ids: Tensor) -> Tensor:
            x = self.e(ids)
            x.retain_grad()
            self.seen = [x]
            scores = x @ (x @ (self.c.weight.mT @ self.c.weight)).mT
            return self.c((scores @ x).sum(1))

    model, ids = Words(), torch.tensor([[1, 2, 3]])
    with lxt.patch(model, freeze=False):
        score = (model(ids) - model.c.bias)[0, 1]
        score.backward()
    (x,) = model.seen
    assert x.grad is not None
    assert float((x * x.grad).sum().detach()) == pytest.approx(float(score.detach()), rel=1e-12)


def test_what_a_graph_goes_back_to() -> None:
    w, x = nn.Parameter(random(3)), random(3).requires_grad_()
    table = nn.Embedding(4, 3).double()
    rows = table(torch.tensor([1]))
    assert is_weight(w) and not is_weight(x) and not is_weight(random(3))
    assert is_active(x) and not is_active(w) and not is_active(random(3)) and not is_active(3.0)
    for t, active in (
        (w * 2, False),
        (w + random(3), False),
        (torch.cat([w, random(3)]).sort()[0], False),
        (w * x, True),
        (((w + 1) * (w.exp() * x.detach())).sum(), False),
        (((w + 1) * (w.exp() * x)).sum(), True),
        (rows, False),
    ):
        assert is_active(t) == active
        assert is_weight(t) != active
    given, call = table(torch.tensor([2])), Explained()
    call.add(given)
    after = given * 2
    for _ in range(2):
        assert not is_active(after) and is_active(x * 2)
        with explaining(call):
            assert is_active(after) and is_active(given * 2) and not is_active(rows * 2)
        with explaining(Explained(named=True)):
            assert not is_active(after) and not is_active(x) and not is_active(x * 2)


def test_a_deep_graph_is_walked_without_recursion() -> None:
    x, w = random(1).requires_grad_(), nn.Parameter(random(1))
    for _ in range(3000):
        x, w = x + 1, w + 1
    assert is_active(x) and not is_active(w)


@pytest.mark.parametrize("made", ["itself", "masked"])
def test_a_weight_that_the_model_does_not_own(made: str) -> None:
    """Nothing freezes it; without a ledger the graph is looked at once the forward is done."""
    foreign = nn.Parameter(random(4, 4))
    mask = (random(4, 4, seed=5) > 0).double()

    def weight() -> Tensor:
        return foreign if made == "itself" else foreign * mask

    model = inline(lambda m, x: m.a(x) @ weight(), 4)
    frozen = weight().detach()
    plain = inline(lambda m, x: m.a(x) @ frozen, 4)
    x = random(2, 4)
    wanted = lxt.attribute(plain, x, 0)
    for ledger in (False, True):
        found = lxt.attribute(model, x, 0, ledger=ledger)
        assert torch.allclose(found.relevance, wanted.relevance, rtol=1e-12)
