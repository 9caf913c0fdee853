"""One product in several spellings: what multiplies element by element meets one rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.intercept.handlers.common import subscripts
from lxt_like.intercept.handlers.einsum import _side_by_side
from lxt_like.intercept.mode import interceptor
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, inline, random

Body = Callable[[Any, Tensor], Tensor]


def gate(m: Any, x: Tensor) -> Tensor:
    made: Tensor = m.b(x).sigmoid()
    return made


def broadcast(m: Any, x: Tensor) -> Tensor:
    s, g = torch.broadcast_tensors(m.a(x), gate(m, x)[..., :1])
    return s * g


K = random(6, seed=9)
# in another spelling, and with *
SPELLED: dict[str, tuple[Body, Body]] = {
    "same": (
        lambda m, x: torch.einsum("bti,bti->bti", m.a(x), gate(m, x)),
        lambda m, x: m.a(x) * gate(m, x),
    ),
    "gate first": (
        lambda m, x: torch.einsum("bti, bti -> bti", [gate(m, x), m.a(x)]),
        lambda m, x: gate(m, x) * m.a(x),
    ),
    "dots": (
        lambda m, x: torch.einsum("...i,...i->...i", m.a(x), gate(m, x)),
        lambda m, x: m.a(x) * gate(m, x),
    ),
    "turned": (
        lambda m, x: torch.einsum(
            "tbi,ibt->bti", m.a(x).transpose(0, 1), gate(m, x).mT.mT.permute(2, 0, 1)
        ),
        lambda m, x: m.a(x) * gate(m, x),
    ),
    "one a token": (
        lambda m, x: torch.einsum("bti,bt->bti", m.a(x), gate(m, x)[..., 0]),
        lambda m, x: m.a(x) * gate(m, x)[..., :1],
    ),
    "one a channel": (
        lambda m, x: torch.einsum("b...i,bi->b...i", m.a(x), gate(m, x)[:, 0]),
        lambda m, x: m.a(x) * gate(m, x)[:, :1],
    ),
    "outer": (
        lambda m, x: torch.einsum("bt,bi->bti", gate(m, x)[..., 0], m.a(x)[:, 0]),
        lambda m, x: gate(m, x)[..., :1] * m.a(x)[:, :1],
    ),
    "implied": (
        lambda m, x: torch.einsum("i,j", gate(m, x)[0, :, 0], m.a(x)[0, 0])[None],
        lambda m, x: (gate(m, x)[0, :, :1] * m.a(x)[0, 0])[None],
    ),
    "torch.outer": (
        lambda m, x: torch.outer(gate(m, x)[0, :, 0], m.a(x)[0, 0])[None],
        lambda m, x: (gate(m, x)[0, :, :1] * m.a(x)[0, 0])[None],
    ),
    "outer by name": (
        lambda m, x: torch.outer(input=m.a(x)[0, :, 0], vec2=gate(m, x)[0, 0])[None],
        lambda m, x: (m.a(x)[0, :, :1] * gate(m, x)[0, 0])[None],
    ),
    "two signals": (
        lambda m, x: torch.einsum("bti,bti->bti", m.a(x), m.b(x)),
        lambda m, x: m.a(x) * m.b(x),
    ),
    "activated gate": (
        lambda m, x: torch.einsum("bti,bti->bti", nn.functional.silu(m.a(x)), m.b(x)),
        lambda m, x: nn.functional.silu(m.a(x)) * m.b(x),
    ),
    "a constant": (
        lambda m, x: torch.einsum("bti,i->bti", m.a(x), K),
        lambda m, x: m.a(x) * K,
    ),
    "a scaled gate": (
        lambda m, x: m.a(x) * torch.einsum("i,bti->bti", K, gate(m, x)),
        lambda m, x: m.a(x) * (K * gate(m, x)),
    ),
    "broadcast_tensors": (broadcast, lambda m, x: m.a(x) * gate(m, x)[..., :1]),
}


@pytest.mark.parametrize("composite", [*COMPOSITES, "epsilon"])
@pytest.mark.parametrize("name", SPELLED)
def test_a_product_is_a_product(name: str, composite: str) -> None:
    other, written = (inline(body) for body in SPELLED[name])
    x = random(1, 4, 6)
    got, want = (account(model, x, composite=composite) for model in (other, written))
    assert relative_error(got.relevance, want.relevance) < 1e-11


@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_gate_takes_nothing(composite: str) -> None:
    """The same by the definition: with the gate constant, the plain gradient."""
    model, x = inline(SPELLED["same"][0]), random(2, 4, 6)
    got = lxt.attribute(model, x, 0, composite).relevance
    held = gate(model, x)
    want = x * ((held * model.c.weight[0]) @ model.a.weight)
    assert relative_error(got, want) < 1e-11


@pytest.mark.parametrize(
    ("equation", "shapes", "product"),
    [
        ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5)), False),
        ("bij,bij->bi", ((2, 3, 4), (2, 3, 4)), False),
        ("bij,bij", ((2, 3, 4), (2, 3, 4)), False),
        ("ii,i->i", ((3, 3), (3,)), False),
        ("...ij,...j->...i", ((2, 3, 4), (2, 4)), False),
        ("...i,...i", ((2, 3), (2, 3)), False),
        ("ab,cd->acbd", ((2, 3), (4, 5)), True),
        ("...,...i->i...", ((2, 3), (2, 3, 4)), True),
        ("...i,i->...i", ((2, 3, 4), (4,)), True),
        ("i...,...->...i", ((4, 3), (2, 3)), True),
        ("ba,c", ((2, 3), (4,)), True),
        ("...,a", ((2, 3), (4,)), True),
        ("a,b->ba", ((1,), (4,)), True),
    ],
)
def test_factors_lie_as_einsum_lays_them(
    equation: str, shapes: tuple[tuple[int, ...], ...], product: bool
) -> None:
    a, b = (random(*shape, seed=i) for i, shape in enumerate(shapes))
    with lxt.patch(nn.Linear(1, 1)) as patch:
        found = _side_by_side(patch.session, equation, (a, b))
    assert interceptor().session is None
    assert (found is not None) == product
    if found is not None:
        want = torch.einsum(equation, a, b)
        assert torch.equal(found[0] * found[1], want)
        assert (found[0] * found[1]).stride() == want.stride()


def test_indices_behind_dots_count_from_the_right() -> None:
    assert subscripts("b...i", 4) == ["b", ".2", ".1", "i"]
    assert subscripts("bi", 2) == ["b", "i"]
    assert subscripts("...", 0) == []
