"""Hold: what a layer computes is a constant parameter."""

from __future__ import annotations

import torch
from torch import Tensor

import lxt_like as lxt
from tests.support import closing_error, inline, random

HELD = lxt.composites.AttnLRP() + lxt.Composite([lxt.Assign(lxt.rules.Hold(), name="b")])
X = random(2, 6)


def test_a_factor_that_is_held_gives_all_to_the_other() -> None:
    def forward(m: torch.nn.Module, x: Tensor) -> Tensor:
        return m.a(x) * m.b(x)  # type: ignore[operator]

    model = inline(forward)
    found = lxt.attribute(model, X, 1, HELD, ledger=True)
    wanted = X * ((model.b(X) * model.c.weight[1]) @ model.a.weight)
    assert torch.allclose(found.relevance, wanted, atol=1e-12)
    assert set(found.ledger.entries) == {"bias"}
    assert closing_error(found.ledger) < 1e-12


def test_a_summand_that_is_held_is_cut() -> None:
    model = inline(lambda m, x: m.a(x) + m.b(x))
    found = lxt.attribute(model, X, 1, HELD, ledger=True)
    assert torch.allclose(found.relevance, X * (model.c.weight[1] @ model.a.weight), atol=1e-12)
    assert torch.allclose(found.ledger.entries["cut"], model.b(X) @ model.c.weight[1], atol=1e-12)
    assert closing_error(found.ledger) < 1e-12
