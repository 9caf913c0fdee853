"""Functions that torch.compile made, inside a model: explained as they were written."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

import lxt_like as lxt
from lxt_like.errors import UnruledError
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, draw, random

EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    torch._dynamo.reset()


def body(h: Tensor) -> Tensor:
    return torch.sigmoid(h) * h.softmax(-1)


class Net(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.function = nn.Linear(6, 8), nn.Linear(8, 3), function

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(self.function(self.a(x)))
        return out


def net(function: Callable[[Tensor], Tensor] = body) -> Any:
    return draw(Net(function)).double()


def compiled_forward() -> Any:
    model = net()
    model.forward = torch.compile(model.forward, backend="eager")
    return model


def compiled_part() -> Any:
    model = net()
    model.a.forward = torch.compile(model.a.forward, backend="eager", fullgraph=True)
    return model


MODELS: dict[str, Callable[[], Any]] = {
    "a function": lambda: net(torch.compile(body, backend="eager")),
    "a whole graph": lambda: net(torch.compile(body, backend="eager", fullgraph=True)),
    "a forward": compiled_forward,
    "a part's forward": compiled_part,
}


@EVERY_COMPOSITE
@pytest.mark.parametrize("before", [False, True], ids=["fresh", "compiled before"])
@pytest.mark.parametrize("name", MODELS)
def test_explained_as_if_it_were_not_compiled(name: str, before: bool, composite: str) -> None:
    model, x = MODELS[name](), random(2, 6)
    if before:
        model(x)
    want = lxt.attribute(net(), x, 0, composite, ledger=True)
    for ledger in (False, True):
        got = lxt.attribute(model, x, 0, composite, ledger=ledger)
        assert torch.equal(got.relevance, (want if ledger else got).relevance)
        assert relative_error(got.relevance, want.relevance) < 1e-12
    assert got.ledger is not None and got.ledger.closed
    given = x.clone().requires_grad_()
    with lxt.patch(model, composite):
        model(given)[:, 0].sum().backward()
    assert given.grad is not None
    assert relative_error(given * given.grad, want.relevance) < 1e-12


def test_what_is_compiled_is_compiled_again_afterwards() -> None:
    counter = CompileCounter()
    model, x = net(torch.compile(body, backend=counter)), random(2, 6)
    stance = torch._dynamo.eval_frame._stance
    lxt.attribute(model, x, 0)
    assert counter.frame_count == 0
    model.function = torch.compile(lambda h: torch.logcumsumexp(h, -1), backend=counter)
    with pytest.raises(UnruledError, match="Logcumsumexp"):
        lxt.attribute(model, x, 0)
    assert torch._dynamo.eval_frame._stance is stance
    model(x)
    assert counter.frame_count == 1


def test_other_threads_go_on_compiling() -> None:
    counter = CompileCounter()
    function = torch.compile(lambda h: h.sin() + 1, backend=counter, fullgraph=True)
    inside, done, results = threading.Event(), threading.Event(), []

    def wait(h: Tensor) -> Tensor:
        inside.set()
        assert done.wait(60)
        return body(h)

    def explain() -> None:
        results.append(lxt.attribute(net(wait), random(2, 6), 0).relevance)

    thread = threading.Thread(target=explain)
    thread.start()
    assert inside.wait(60)
    try:
        got = function(random(4))
    finally:
        done.set()
        thread.join()
    assert torch.equal(got, random(4).sin() + 1)
    assert counter.frame_count == 1
    assert torch.equal(results[0], lxt.attribute(net(), random(2, 6), 0).relevance)


def test_a_stance_that_the_caller_chose_is_kept() -> None:
    model, x = net(torch.compile(body, backend="eager")), random(2, 6)
    with torch.compiler.set_stance("fail_on_recompile"):
        before = torch._dynamo.eval_frame._stance
        lxt.attribute(model, x, 0)
        assert torch._dynamo.eval_frame._stance is before

    def choose(h: Tensor) -> Tensor:
        torch.compiler.set_stance("eager_on_recompile")
        return body(h)

    try:
        lxt.attribute(net(choose), x, 0)
        assert torch._dynamo.eval_frame._stance.stance == "eager_on_recompile"
    finally:
        torch.compiler.set_stance("default")


@EVERY_COMPOSITE
def test_a_patched_model_inside_a_compiled_function(composite: str) -> None:
    model = net()

    def score(x: Tensor) -> Tensor:
        return model(x * 2)[:, 0].sum()

    x, y = (random(2, 6).requires_grad_() for _ in range(2))
    with lxt.patch(model, composite):
        torch.compile(score, backend="eager")(x).backward()
        score(y).backward()
    assert x.grad is not None and y.grad is not None
    torch.testing.assert_close(x.grad, y.grad)


def test_nothing_is_loaded_for_it() -> None:
    code = (
        "import sys, torch, lxt_like as lxt; "
        "lxt.attribute(torch.nn.Linear(2, 2), torch.ones(1, 2)); "
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
