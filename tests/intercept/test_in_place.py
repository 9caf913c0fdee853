"""What torch writes in place is what it computes out of place: the same relevance, every way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import lxt_like as lxt
from lxt_like.intercept.registry import ENTRIES, functions
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, closing_error, inline, random

# what is given besides the tensor written into [3, 6, 6]: another signal of its shape, a constant
More = Callable[[Tensor, Tensor], tuple[Any, ...]]
PLACES = torch.tensor([4, 1])[:, None].expand(3, 2, 6)
WITH: dict[str, tuple[More, ...]] = {
    **dict.fromkeys(
        ("add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide"),
        (lambda k, c: (k,), lambda k, c: (c,), lambda k, c: (2.5,)),
    ),
    **dict.fromkeys(
        ("addcmul", "addcdiv"),
        (lambda k, c: (k, c), lambda k, c: (c, c), lambda k, c: (k, k * k + 1)),
    ),
    "lerp": (lambda k, c: (k, 0.3), lambda k, c: (c, torch.sigmoid(k)), lambda k, c: (k, c)),
    "pow": (lambda k, c: (3,), lambda k, c: (-1,), lambda k, c: (0.5,)),
    "float_power": (lambda k, c: (3,),),
    "baddbmm": (lambda k, c: (k, c), lambda k, c: (k, k), lambda k, c: (c, c)),
    **dict.fromkeys(("clamp", "clip"), (lambda k, c: (0.8, 1.5),)),
    **dict.fromkeys(("clamp_min", "clamp_max"), (lambda k, c: (1.0,),)),
    "threshold": (lambda k, c: (1.0, 0.5), lambda k, c: (0, 0)),
    "cumsum": (lambda k, c: (1,),),
    "index_add": (lambda k, c: (1, torch.tensor([0, 2]), k[:, :2]),),
    "index_copy": (lambda k, c: (1, torch.tensor([0, 2]), k[:, :2]),),
    "index_fill": (lambda k, c: (1, torch.tensor([0, 2]), 0.5),),
    "index_put": (lambda k, c: ((torch.tensor([0, 2]),), k[:2]),),
    "masked_fill": (lambda k, c: (c > 1, 0.5),),
    "masked_scatter": (lambda k, c: (c > 1, k),),
    **dict.fromkeys(("scatter", "scatter_add"), (lambda k, c: (1, PLACES, k[:, :2]),)),
    "scatter_reduce": (lambda k, c: (1, PLACES, k[:, :2], "mean"),),
    "index_reduce": (lambda k, c: (1, torch.tensor([0, 2]), k[:, :2], "amax"),),
    "put": (lambda k, c: (torch.tensor([0, 7]), k[0, 0, :2]),),
    **dict.fromkeys(("hypot", "copysign"), (lambda k, c: (k,), lambda k, c: (c,))),
}
# what takes matrices and vectors: a sample's of what is written into, and of two factors
SMALL: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]] = {
    "addmm": lambda h, k, c: (h, k, c),
    "addbmm": lambda h, k, c: (h, k[None], c[None]),
    "addmv": lambda h, k, c: (h[0], k, c[0]),
}
ELSEWHERE = {
    *"t squeeze unsqueeze transpose swapaxes swapdims as_strided".split(),  # test_moved_in_place
    *"dropout alpha_dropout feature_dropout feature_alpha_dropout requires_grad".split(),
}


def written() -> dict[str, str]:
    """Every function that has an entry, and is no in-place form itself -> its in-place form."""
    names = {e.name for e in ENTRIES.values()}
    return {n: f"{n}_" for n in sorted(names) if not n.endswith("_") and functions(f"{n}_")}


def calls() -> list[tuple[str, int]]:
    names = [n for n in written() if n not in ELSEWHERE and n not in SMALL]
    return [(n, i) for n in names for i in range(len(WITH.get(n, (0,))))]


def compute(f: Any, x: Tensor, more: Sequence[Any], how: str) -> Tensor:
    if how == "in place":
        f(x, *more)
        return x
    if how == "into a view":
        view = x.view(x.shape)
        f(view, *more)
        return view
    out: Tensor = f(x, *more)
    return out


def model(name: str, which: int, how: str) -> Any:
    f = functions(name if how == "out of place" else f"{name}_")[0]
    more = WITH.get(name, (lambda k, c: (),))[which]
    constant = random(3, 6, 6, seed=7).abs() + 0.5

    def body(m: Any, x: Tensor) -> Tensor:
        h, k = m.a(x).abs() + 0.5, m.b(x).abs() + 0.5
        out = compute(f, h * 1.0, more(k, constant), how)
        return out * m.b(x)

    return inline(body)


def sums(name: str, which: str, how: str) -> Any:
    f = functions(name if how == "out of place" else f"{name}_")[0]
    constant = random(3, 6, 6, seed=7)

    def body(m: Any, x: Tensor) -> Tensor:
        h, k = m.a(x), m.b(x)
        pairs = {"left": (k, constant), "right": (constant, k), "both": (k, k * 2)}
        parts = [SMALL[name](*sample) for sample in zip(h, *pairs[which], strict=True)]
        return torch.stack([compute(f, into * 1.0, more, how) for into, *more in parts])

    return inline(body)


def same(one: Any, two: Any, x: Tensor, composite: str) -> None:
    """Equal without a ledger, with one and in a patch; and the plans and accounts, too."""
    wanted = lxt.attribute(two, x, 0, composite)
    for ledger in (False, True):
        found = lxt.attribute(one, x, 0, composite, ledger=ledger)
        assert relative_error(found.relevance, wanted.relevance) < 1e-12
    assert found.ledger is not None
    if composite in COMPOSITES:
        assert closing_error(found.ledger) < 1e-11
    leaf = x.clone().requires_grad_()
    with lxt.patch(one, composite):
        one(leaf)[:, 0].sum().backward()
    assert relative_error(leaf * leaf.grad, wanted.relevance) < 1e-12
    steps = [[(row.kind, row.rule) for row in lxt.plan(m, composite, x).rows] for m in (one, two)]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("how", ["in place", "into a view"])
@pytest.mark.parametrize("composite", [*COMPOSITES, "gradient", "epsilon_plus"])
@pytest.mark.parametrize(("name", "which"), calls())
def test_in_place_is_out_of_place(name: str, which: int, composite: str, how: str) -> None:
    same(model(name, which, how), model(name, which, "out of place"), random(3, 6, 6), composite)


@pytest.mark.parametrize("how", ["in place", "into a view"])
@pytest.mark.parametrize("composite", [*COMPOSITES, "gradient"])
@pytest.mark.parametrize("which", ["left", "right", "both"])
@pytest.mark.parametrize("name", SMALL)
def test_sums_of_products(name: str, which: str, composite: str, how: str) -> None:
    same(sums(name, which, how), sums(name, which, "out of place"), random(3, 6, 6), composite)


def test_every_written_form_has_an_entry() -> None:
    """One that follows from that of its plain form, if it has a handler."""
    plain = {name for name, e in ((e.name, e) for e in ENTRIES.values()) if e.handler is not None}
    for name, form in written().items():
        if name in plain:
            assert all(f in ENTRIES for f in functions(form)), form
    assert set(SMALL) | set(WITH) <= set(written())
