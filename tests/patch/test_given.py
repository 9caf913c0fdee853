"""What a patched model is called with is explained, whatever it comes in."""

from __future__ import annotations

from collections import UserDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.intercept.given import tensors_in
from tests.oracles.arrays import relative_error
from tests.support import draw, random


@dataclass
class Batch:
    x: Any
    name: str = "a batch"


@dataclass(slots=True)
class Slots:
    x: Any


class Pair(NamedTuple):
    x: Any
    mask: Any = None


PACKS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bare": (lambda x: x, lambda b: b),
    "dict": (lambda x: {"x": x}, lambda b: b["x"]),
    "mapping": (lambda x: UserDict(x=x), lambda b: b["x"]),
    "nested": (lambda x: {"a": [(x,)]}, lambda b: b["a"][0][0]),
    "list": (lambda x: [x, None], lambda b: b[0]),
    "deque": (lambda x: deque([x]), lambda b: b[0]),
    "named tuple": (Pair, lambda b: b.x),
    "dataclass": (Batch, lambda b: b.x),
    "dataclass with slots": (lambda x: [Slots(x)], lambda b: b[0].x),
    "object": (lambda x: SimpleNamespace(store={"x": x}), lambda b: b.store["x"]),
}
EVERY = pytest.mark.parametrize("pack", PACKS)


class Net(nn.Module):
    def __init__(self, unpack: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.a, self.norm, self.o = nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3)
        self.unpack = unpack

    def forward(self, batch: Any) -> Tensor:
        out: Tensor = self.o(F.gelu(self.norm(self.a(self.unpack(batch)))))
        return out


def net(pack: str) -> Any:
    return draw(Net(PACKS[pack][1])).double()


@EVERY
@pytest.mark.parametrize("source", ["leaf", "trainable layers"])
def test_a_tensor_to_explain(pack: str, source: str) -> None:
    leaf = random(2, 4).requires_grad_()
    (plain,) = torch.autograd.grad(net("bare")(leaf)[:, 0].sum(), leaf)
    with lxt.patch(bare := net("bare")):
        (wanted,) = torch.autograd.grad(bare(leaf)[:, 0].sum(), leaf)
    assert relative_error(plain, wanted) > 1e-2
    x = leaf
    if source == "trainable layers":
        x = nn.Linear(4, 4).double()(random(2, 4))
        x.data = leaf.detach()
    with lxt.patch(model := net(pack)):
        (found,) = torch.autograd.grad(model(PACKS[pack][0](x))[:, 0].sum(), x)
    assert torch.equal(found, wanted)


@EVERY
def test_a_parameter_to_explain_is_refused(pack: str) -> None:
    p = nn.Parameter(random(2, 4))
    with lxt.patch(model := net(pack)):
        with pytest.raises(InputError, match=r"nn\.Parameter.*x\.detach\(\)\.requires_grad_\(\)"):
            model(PACKS[pack][0](p))
        model(PACKS[pack][0](p.detach()))


def test_what_is_no_container_is_not_looked_into() -> None:
    x, y = random(2), random(3)
    inner = SimpleNamespace(x=y)
    loop: list[Any] = [x]
    loop.append(loop)
    found = list(tensors_in((loop, {"m": nn.Linear(2, 2), "f": lambda: y, "t": Net, "s": "abc"})))
    assert len(found) == 1 and found[0] is x
    assert [t is x for t in tensors_in(SimpleNamespace(x=x, owner=inner))] == [True]


# -- other layouts ---------------------------------------------------------------------------------


class Summed(nn.Module):
    """Logits of the sum over places, of a nested tensor as of a dense one."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(x)
        return torch.stack([t.sum(0) for t in h.unbind()])


LAYOUTS: dict[str, tuple[Callable[[], Tensor], str]] = {
    "jagged": (
        lambda: torch.nested.nested_tensor([random(2, 6), random(3, 6)], layout=torch.jagged),
        "nested tensor .*jagged.* pad its parts to one length",
    ),
    "nested": (
        lambda: torch.nested.nested_tensor([random(2, 6), random(3, 6)]),
        "nested tensor .* pad its parts to one length",
    ),
    "sparse": (lambda: random(2, 6).to_sparse(), r"is sparse .*; give .*\.to_dense\(\)"),
    "csr": (lambda: random(2, 6).to_sparse_csr(), r"is sparse .*; give .*\.to_dense\(\)"),
}


@pytest.mark.filterwarnings("ignore:.*prototype")
@pytest.mark.filterwarnings("ignore:.*beta state")
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nested_and_sparse_tensors_are_refused(layout: str, named: bool) -> None:
    make, said = LAYOUTS[layout]
    model = draw(Summed()).double()
    for ledger in (False, True):
        given = {"x": make()} if named else make()
        with pytest.raises(InputError, match=said):
            lxt.attribute(model, given, 0, ledger=ledger)
    with lxt.patch(model):
        x = make().requires_grad_()
        with pytest.raises(InputError, match=said):
            model(x=x) if named else model(x)
        if layout == "jagged":  # without gradients it is only computed
            assert model(make()).shape == (2, 3)


@pytest.mark.filterwarnings("ignore:.*prototype")
@pytest.mark.parametrize("ledger", [False, True])
def test_a_model_that_makes_nested_tensors_itself(ledger: bool) -> None:
    class Nests(Summed):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.nested.as_nested_tensor(list(x), layout=torch.jagged))

    with pytest.raises(lxt.errors.UnruledError, match=r"[Nn]ested|jagged"):
        lxt.attribute(draw(Nests()).double(), random(2, 3, 6), 0, ledger=ledger)
