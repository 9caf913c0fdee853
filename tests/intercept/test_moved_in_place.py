"""``transpose_`` and its like move a tensor's axes, not its values: as their out-of-place forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import lxt_like as lxt
from lxt_like.intercept.tags import tag
from tests.intercept.test_tags import role_of
from tests.oracles.arrays import relative_error
from tests.support import account, inline, random

X = random(3, 16)
Move = Callable[[Tensor], Tensor]

# in place, and the same out of place, of [batch, 4, 4]
MOVES: dict[str, tuple[Move, Move]] = {
    "transpose_": (lambda v: v.transpose_(1, 2), lambda v: v.transpose(1, 2)),
    "swapaxes_": (lambda v: v.swapaxes_(1, 2), lambda v: v.swapaxes(1, 2)),
    "swapdims_": (lambda v: v.swapdims_(-1, -2), lambda v: v.swapdims(-1, -2)),
    "unsqueeze_": (lambda v: v.unsqueeze_(1), lambda v: v.unsqueeze(1)),
    "squeeze_": (lambda v: v[:, None].squeeze_(1), lambda v: v),
    "t_": (lambda v: v[0].t_()[None].expand(3, 4, 4), lambda v: v[:1].mT.expand(3, 4, 4)),
    "as_strided_": (
        lambda v: v.as_strided_((3, 4, 4), (16, 1, 4)),
        lambda v: v.as_strided((3, 4, 4), (16, 1, 4)),
    ),
    "several": (
        lambda v: v.transpose_(1, 2).unsqueeze_(0).squeeze_(0).transpose_(0, 1).transpose_(0, 1),
        lambda v: v.transpose(1, 2),
    ),
}

# of h [batch, 16] and a move: what the model goes on with
USES: dict[str, Callable[[Tensor, Move], Tensor]] = {
    "a view": lambda h, move: move(h.view(-1, 4, 4)).reshape(-1, 16) * 2 + h,
    "no view": lambda h, move: move(h.view(-1, 4, 4).clone()).reshape(-1, 16) * 2 + h,
    "before another read": lambda h, move: (lambda v: v.flatten(1) * 3.0 + move(v).reshape(-1, 16))(
        h.view(-1, 4, 4) + 1.0
    ),
    "attention weights": lambda h, move: (
        move(h.view(-1, 4, 4).softmax(-1) * 0.5).reshape(-1, 4, 4) @ h.view(-1, 4, 4)
    ).flatten(1),
    "a gate": lambda h, move: move(h.sigmoid().view(-1, 4, 4)).reshape(-1, 16) * h,
}


def model(use: str, move: Move) -> Any:
    return inline(lambda m, x: USES[use](m.a(x), move), 16)


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp", "epsilon"])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", MOVES)
def test_in_place_equals_out_of_place(name: str, use: str, composite: str) -> None:
    one, two = (model(use, move) for move in MOVES[name])
    wanted = lxt.attribute(two, X, 0, composite, ledger=True)
    found = account(one, X, 0, composite)
    assert relative_error(found.relevance, wanted.relevance) < 1e-12
    for cause, amount in wanted.ledger.entries.items():
        torch.testing.assert_close(found.ledger.entries[cause], amount, rtol=1e-11, atol=1e-12)


def test_a_hidden_layer_keeps_its_relevance() -> None:
    one, two = (model("no view", move) for move in MOVES["transpose_"])
    found, wanted = (lxt.attribute(m, X, 0, layers=["a"]).layers["a"] for m in (one, two))
    assert relative_error(found, wanted) < 1e-12


def test_what_is_explained_may_be_moved() -> None:
    """Also by the twin that carries relevance to inputs that are 0."""
    one, two = (
        inline(lambda m, x, move=move: m.a(move(x.view(-1, 4, 4)).reshape(-1, 16)), 16)
        for move in MOVES["transpose_"]
    )
    box = lxt.composites.EpsilonGammaBox(low=-3.0, high=3.0)
    for composite in ("attnlrp", box):
        found, wanted = (lxt.attribute(m, X, 0, composite).relevance for m in (one, two))
        assert relative_error(found, wanted) < 1e-12


def test_a_softmax_axis_moves_along() -> None:
    def axis_after(move: Move) -> int | None:
        kept: list[Any] = []
        role_of(lambda x: kept.append(move(x.expand(5, 2, 3).softmax(-1))) or kept[0])
        found = tag(kept[0])
        assert found is not None and found.role == "softmax"
        return found.axis

    assert axis_after(lambda w: w.transpose_(1, 2)) == -2
    assert axis_after(lambda w: w.transpose_(0, 2)) == -3
    assert axis_after(lambda w: w.unsqueeze_(-1)) == -2
    assert axis_after(lambda w: w.unsqueeze_(0)) == -1


def test_a_constant_keeps_its_cause() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        mean = m.a(x).detach().view(-1, 4, 4).transpose_(1, 2)
        return m.b(x) + mean.reshape(-1, 16)

    found = account(inline(forward, 16), X, 0)
    assert found.ledger.entries["cut"].abs().min() > 1e-3
