"""In-place writes: what autograd hides under CopySlices, and the role of what is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import lxt_like as lxt
from lxt_like.errors import UnruledError
from tests.oracles.arrays import relative_error
from tests.support import closing_error, inline, random

X = random(2, 6)


def relevance(forward: Callable[..., Tensor], composite: str = "attnlrp") -> Tensor:
    found: Tensor = lxt.attribute(inline(forward), X, 0, composite).relevance
    return found


def column(name: str, *others: float) -> Callable[..., Tensor]:
    def forward(m: torch.nn.Module, x: Tensor) -> Tensor:
        h = m.a(x).clone()  # type: ignore[operator]
        getattr(h[:, :3], name)(*others)
        return h

    return forward


@pytest.mark.parametrize("name", ["sinh_", "atan_", "expm1_"])
def test_a_function_written_into_a_view_is_seen(name: str) -> None:
    if name == "expm1_":  # has a rule out of place
        rest = relevance(lambda m, x: torch.cat([m.a(x)[:, :3].expm1(), m.a(x)[:, 3:]], 1))
        torch.testing.assert_close(relevance(column(name)), rest)
    else:
        with pytest.raises(UnruledError, match=name[:-1].capitalize()):
            relevance(column(name))


def overwritten(copy: bool) -> Callable[..., Tensor]:
    def forward(m: torch.nn.Module, x: Tensor) -> Tensor:
        w = m.a(x).sigmoid()  # type: ignore[operator]
        if copy:
            w.copy_(m.b(x))  # type: ignore[operator]
        else:
            w[:] = m.b(x)  # type: ignore[operator]
        return w * x

    return forward


@pytest.mark.parametrize("copy", [True, False])
def test_what_was_a_gate_is_none_once_overwritten(copy: bool) -> None:
    torch.testing.assert_close(
        relevance(overwritten(copy)), relevance(lambda m, x: m.b(x) * x), rtol=1e-12, atol=1e-12
    )


def routed(in_place: bool) -> Callable[..., Tensor]:
    def forward(m: torch.nn.Module, x: Tensor) -> Tensor:
        scores = m.a(x)  # type: ignore[operator]
        top, index = scores.softmax(-1).topk(3, -1)
        empty = torch.zeros_like(scores)
        if in_place:
            weights = empty.scatter_(1, index, top)
        else:
            weights = empty.scatter(1, index, top)
        return weights * m.b(x)  # type: ignore[operator,no-any-return]

    return forward


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
def test_router_weights_scattered_in_place_stay_weights(composite: str) -> None:
    assert torch.equal(relevance(routed(True), composite), relevance(routed(False), composite))


def test_an_idle_dropout_in_place_writes_nothing() -> None:
    """Softmax's backward needs its output, which an in-place dropout of eval mode leaves alone."""

    def attend(m: Any, x: Tensor) -> Tensor:
        weights = torch.softmax(m.a(x)[:, None] * m.b(x)[..., None], -1)
        weights = torch.nn.functional.dropout(weights, 0.5, training=False, inplace=True)
        return (weights @ x[..., None])[..., 0]

    x = random(2, 6)
    want = lxt.attribute(inline(attend), x, 0).relevance
    got = lxt.attribute(inline(attend), x, 0, ledger=True)
    assert relative_error(got.relevance, want) < 1e-12
    assert closing_error(got.ledger) < 1e-12
