"""Moves, casts, sums, writes and the model's own detach: the account closes, causes are named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import UnruledError, UnruledWarning
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, draw, inline, random

Body = Callable[[nn.Module, Tensor], Tensor]
EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)
FLIPPED = torch.tensor([5, 4, 3, 2, 1, 0])
PAIRS = FLIPPED.expand(2, -1) // 2


def written(y: Tensor, write: Callable[[Tensor], object]) -> Tensor:
    write(y)
    return y


LINEAR: dict[str, Body] = {
    "residual": lambda m, x: x + m.a(x),
    "residual in place": lambda m, x: m.a(x).add_(x),
    "x -= f(x)": lambda m, x: m.a(x).sub_(x, alpha=0.5),
    "cat": lambda m, x: torch.cat([m.a(x)[:, :3], x[:, 3:]], 1),
    "cat with constants": lambda m, x: torch.cat([m.a(x)[:, :3], torch.zeros(2, 3).double()], 1),
    "stack": lambda m, x: torch.stack([m.a(x), x], 1).sum(1),
    "where": lambda m, x: torch.where(x.detach() > 0, m.a(x), x),
    "where by name": lambda m, x: torch.where(condition=x.detach() > 0, input=m.a(x), other=x),
    "masked_fill": lambda m, x: m.a(x).masked_fill(x.detach() > 0, 0.0),
    "masked_fill_": lambda m, x: m.a(x).masked_fill_(x.detach() > 0, 0.0),
    "setitem": lambda m, x: written(m.a(x), lambda y: y.__setitem__((slice(None), 0), x[:, 1])),
    "setitem by a mask": lambda m, x: written(
        m.a(x), lambda y: y.__setitem__(x.detach() > 0, x[x.detach() > 0])
    ),
    "into zeros": lambda m, x: written(
        torch.zeros_like(x), lambda y: y.__setitem__((slice(None), slice(0, 3)), m.a(x)[:, :3])
    ),
    "copy_": lambda m, x: written(m.a(x), lambda y: y[:, :2].copy_(x[:, :2])),
    "zero_": lambda m, x: written(m.a(x), lambda y: y[:, :2].zero_()),
    "mean and sum": lambda m, x: m.a(x).mean(-1, keepdim=True) + x.sum(-1, keepdim=True) + x,
    "cumsum": lambda m, x: m.a(x).cumsum(-1),
    "gather": lambda m, x: m.a(x).gather(1, FLIPPED.expand(2, -1)),
    "scatter_add": lambda m, x: (
        torch.zeros(2, 6).double().scatter_add(1, FLIPPED.expand(2, -1) // 2, m.a(x))
    ),
    "index_select": lambda m, x: m.a(x).index_select(1, FLIPPED),
    "masked_scatter": lambda m, x: torch.stack(
        [row.masked_scatter(row.detach() > 0, a) for row, a in zip(x, m.a(x), strict=True)]
    ),
    "repeat_interleave": lambda m, x: m.a(x)[:, :2].repeat_interleave(3, 1),
    "expand": lambda m, x: m.a(x)[:, :1].expand(-1, 6),
    "roll and flip": lambda m, x: m.a(x).roll(1, -1).flip(-1),
    "sort": lambda m, x: m.a(x).sort(-1).values,
    "topk": lambda m, x: F.pad(m.a(x).topk(3, -1).values, (0, 3)),
    "unfold": lambda m, x: m.a(x).unfold(-1, 2, 2).mean(-1).repeat(1, 2),
    "tril": lambda m, x: (m.a(x)[:, None].expand(-1, 6, -1).tril()).sum(1),
    "neg": lambda m, x: -m.a(x),
    "abs": lambda m, x: m.a(x).abs(),
    "maximum": lambda m, x: torch.maximum(m.a(x), x),
    "fft": lambda m, x: torch.fft.fft(m.a(x)).real,
    "complex product": lambda m, x: (torch.fft.fft(m.a(x)) * 1j).imag,
    "diag_embed": lambda m, x: torch.diag_embed(m.a(x)).sum(1),
    "diagflat": lambda m, x: torch.stack([torch.diagflat(row).sum(0) for row in m.a(x)]),
    "nan_to_num": lambda m, x: torch.nan_to_num(m.a(x)),
    "nan_to_num of infinities": lambda m, x: torch.nan_to_num(
        m.a(x).masked_fill(x.detach() > 0.5, torch.inf), posinf=2.0
    ),
    "nan_to_num_": lambda m, x: m.a(x).nan_to_num_(),
    "deg2rad": lambda m, x: torch.deg2rad(m.a(x)),
    "rad2deg": lambda m, x: torch.rad2deg(m.a(x)),
    "take": lambda m, x: torch.stack([row.take(FLIPPED) for row in m.a(x)]),
    "put": lambda m, x: torch.stack(
        [row.put(FLIPPED[:2], a[:2]) for row, a in zip(x, m.a(x), strict=True)]
    ),
    "ldexp": lambda m, x: torch.ldexp(m.a(x), FLIPPED),
    "scatter_reduce, mean": lambda m, x: x.scatter_reduce(1, PAIRS, m.a(x), "mean"),
    "scatter_reduce, amax": lambda m, x: x.scatter_reduce(1, PAIRS, m.a(x), "amax"),
    "scatter_reduce, amin, alone": lambda m, x: (x * 2).scatter_reduce(
        1, PAIRS, m.a(x), "amin", include_self=False
    ),
    "scatter_reduce, sum of a constant": lambda m, x: (
        torch.ones(2, 6).double().scatter_reduce(1, PAIRS, m.a(x), "sum")
    ),
    "scatter_reduce_": lambda m, x: (
        torch.ones(2, 6).double().scatter_reduce_(1, PAIRS, m.a(x), "mean")
    ),
    "index_reduce, mean": lambda m, x: x.index_reduce(1, FLIPPED // 2, m.a(x), "mean"),
    "cummax": lambda m, x: m.a(x).cummax(1).values,
    "cummin": lambda m, x: torch.cummin(m.a(x), 1)[0],
    "aminmax": lambda m, x: sum(torch.aminmax(m.a(x), dim=1, keepdim=True)) + x,
    "fmax": lambda m, x: torch.fmax(m.a(x), x),
    "fmin with a constant": lambda m, x: torch.fmin(m.a(x), torch.full((6,), 0.1).double()),
    "maximum with whole numbers": lambda m, x: torch.maximum(m.a(x), FLIPPED - 3),
    "cat with whole numbers": lambda m, x: torch.cat([m.a(x)[:, :3], PAIRS[:, :3]], 1),
    "copysign": lambda m, x: torch.copysign(m.a(x), x.detach()),
    "nanmedian": lambda m, x: m.a(x).nanmedian(1, keepdim=True).values + x,
    "quantile": lambda m, x: torch.quantile(m.a(x), 0.3, 1, keepdim=True) + x,
    "nanquantile": lambda m, x: torch.nanquantile(m.a(x), 0.7, 1, keepdim=True) + x,
    "narrow_copy": lambda m, x: torch.narrow_copy(m.a(x), 1, 0, 3).repeat(1, 2),
    "unsafe_split_with_sizes": lambda m, x: torch.unsafe_split_with_sizes(m.a(x), [2, 4], 1)[
        0
    ].repeat(1, 3),
    "block_diag": lambda m, x: torch.block_diag(m.a(x), x).view(2, -1, 6).sum(1),
    "diagonal_scatter": lambda m, x: (
        x[..., None].expand(2, 6, 6).diagonal_scatter(m.a(x), 0, 1, 2).sum(1)
    ),
    "complex": lambda m, x: torch.complex(m.a(x), x).imag + torch.complex(m.a(x), x).real,
    "ihfft2": lambda m, x: torch.fft.ihfft2(m.a(x)[:, None].expand(2, 6, 6)).real.mean(2),
    "conj_physical": lambda m, x: torch.conj_physical(torch.complex(m.a(x), x)).imag,
    "cross with a constant": lambda m, x: torch.linalg.cross(
        m.a(x).view(2, 2, 3), random(2, 2, 3)
    ).flatten(1),
    "xlogy": lambda m, x: torch.xlogy(m.a(x), random(6).abs()),
    "xlog1py": lambda m, x: torch.special.xlog1py(m.a(x), random(6).abs()),
    "hypot": lambda m, x: torch.hypot(m.a(x), x),
    "hypot with a constant": lambda m, x: torch.hypot(m.a(x), random(6)),
    "cdist": lambda m, x: torch.cdist(m.a(x)[:, :, None], x[:, :, None]).sum(1),
    "cdist of prototypes": lambda m, x: torch.cdist(m.a(x), random(6, 6)),
    "pdist": lambda m, x: torch.stack([F.pdist(row[:, None])[:6] for row in m.a(x)]),
    "dist": lambda m, x: torch.dist(m.a(x)[0], x[0], 1) + x,
    "std_mean": lambda m, x: sum(torch.std_mean(m.a(x), 1, keepdim=True)) + x,
    "embedding of a fixed table": lambda m, x: m.a(x) + F.embedding(torch.tensor(0), m.b.weight),
}


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", LINEAR)
def test_the_plain_gradient_is_right(name: str, composite: str) -> None:
    model, x = inline(LINEAR[name]), random(2, 6)
    got = account(model, x, composite=composite)
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)
    assert relative_error(got.relevance, x * grad) < 1e-12
    assert set(got.ledger.entries) <= {"bias", "constant"}


def test_a_module_used_twice() -> None:
    model, x = inline(lambda m, x: F.gelu(m.a(F.gelu(m.a(x))))), random(2, 6)
    got = account(model, x, layers=["a"])
    assert set(got.layers) == {"a", "a:1"}


def test_what_the_model_detaches_is_cut() -> None:
    model, x = inline(lambda m, x: m.a(x) + m.b(x).detach()), random(2, 6)
    got = account(model, x)
    weight = model.c.weight[0]
    assert relative_error(got.ledger.entries["cut"], model.b(x) @ weight) < 1e-12
    assert relative_error(got.relevance, x * (weight @ model.a.weight)) < 1e-12


def test_what_the_model_computes_without_grad_is_cut() -> None:
    def body(m: nn.Module, x: Tensor) -> Tensor:
        with torch.no_grad():
            aside = F.gelu(m.b(x)) * 2
        return m.a(x) + aside

    model, x = inline(body), random(2, 6)
    want = (2 * F.gelu(model.b(x))) @ model.c.weight[0]
    assert relative_error(account(model, x).ledger.entries["cut"], want) < 1e-12


@pytest.mark.parametrize("narrow", [torch.float32, torch.bfloat16])
def test_narrowing_casts_lose_rounding(narrow: torch.dtype) -> None:
    model, x = inline(lambda m, x: m.a(x).to(narrow).double()), random(2, 6)
    got = account(model, x)
    assert bool((got.ledger.entries["rounding"] != 0).all())
    assert set(got.ledger.entries) == {"bias", "rounding"}


def test_widening_casts_lose_nothing() -> None:
    model, x = inline(lambda m, x: m.a(x).double().float()), random(2, 6).float()
    ledger = account(model.float(), x, tolerance=1e-5).ledger
    assert float(ledger.entries.get("rounding", torch.zeros(1)).abs().max()) < 1e-6


class Dropped(nn.Module):
    def __init__(self, drop: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.drop, self.head = nn.Linear(6, 6), drop, nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.first(x)))


DROPS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.Dropout(0.2),
    "in place": nn.Dropout(0.2, inplace=True),
    "function": lambda x: F.dropout(x, 0.2),
    "by name": lambda x: F.dropout(input=x, p=0.2, training=True),
    "torch.dropout": lambda x: torch.dropout(x, 0.2, True),
    "feature": lambda x: F.feature_alpha_dropout(x, 0.2, training=True),
    "alpha": nn.AlphaDropout(0.2),
    "randomised relu": nn.RReLU(),
}


@pytest.mark.parametrize("name", DROPS)
def test_active_dropout_is_refused(name: str) -> None:
    model = draw(Dropped(DROPS[name])).train()
    with pytest.raises(UnruledError):
        lxt.attribute(model, random(2, 6).float(), 0)


def test_the_message_says_where_and_what_to_do() -> None:
    with pytest.raises(UnruledError, match=r"dropout is active.*model\.eval\(\).*in drop"):
        lxt.attribute(draw(Dropped(nn.Dropout(0.2))).train(), random(2, 6).float(), 0)
    with pytest.warns(UnruledWarning, match="dropout is active"):
        lxt.attribute(Dropped(nn.Dropout(0.2)).train(), random(2, 6).float(), 0, strict=False)


@pytest.mark.parametrize("drop", [nn.Dropout(0.2), nn.Dropout(0.0), nn.AlphaDropout(0.2)])
def test_dropout_in_eval_or_of_nothing_is_the_identity(drop: nn.Module) -> None:
    model = draw(Dropped(drop)).double()
    model.drop.train(getattr(drop, "p", 1) == 0.0)
    account(model, random(2, 6))
