"""Where a model is entered: by its call, hooks and all, and by its methods."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import PatchError, UnruledError
from tests.oracles.arrays import relative_error
from tests.restore.snapshot import differences, snapshot
from tests.support import COMPOSITES, closing_error, draw, random

EVERY_COMPOSITE = pytest.mark.parametrize("composite", COMPOSITES)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.b(nn.functional.gelu(self.a(x)))
        return out


def gated(h: Tensor) -> Tensor:
    return h * torch.sigmoid(h)


class Forward(Net):
    """What the others compute, all of it in ``forward``."""

    def forward(self, x: Tensor) -> Tensor:
        return gated(super().forward(x * 2 + 1))


class Method(Net):
    def features(self, x: Tensor) -> Tensor:
        return gated(self(x * 2 + 1))


class Mixin:
    def features(self, given: dict[str, Tensor]) -> Tensor:
        return gated(self(given["x"] * 2 + 1))  # type: ignore[operator]


class Mixed(Mixin, Net):
    pass


class Called(Net):
    def __call__(self, x: Tensor) -> Tensor:
        return gated(super().__call__(x * 2 + 1))


class CalledBelow(Called):
    pass


class CalledByForward(Net):
    def __call__(self, x: Tensor) -> Tensor:
        return gated(self.forward(x * 2 + 1))


def hooked() -> Net:
    model = Net()
    model.register_forward_pre_hook(lambda m, args: (args[0] * 2 + 1,))
    model.register_forward_hook(lambda m, args, out: gated(out))
    return model


class Outer(nn.Module):
    """A part of it is called from outside."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("never called")


WAYS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any, Tensor], Tensor]]] = {
    "hooks": (hooked, lambda m, x: m(x)),
    "a method": (Method, lambda m, x: m.features(x)),
    "a method by name": (Method, lambda m, x: m.features(x=x)),
    "a mixin's method": (Mixed, lambda m, x: m.features({"x": x})),
    "its own __call__": (Called, lambda m, x: m(x)),
    "a base's __call__": (CalledBelow, lambda m, x: m(x)),
    "a __call__ of another kind": (CalledByForward, lambda m, x: m(x)),
    "hooks of a part": (lambda: Outer(hooked()), lambda m, x: m.part(x)),
    "a method of a part": (lambda: Outer(Method()), lambda m, x: m.part.features(x)),
    "a __call__ of a part": (lambda: Outer(Called()), lambda m, x: m.part(x)),
}


def drawn(make: Callable[[], nn.Module]) -> Any:
    return draw(make()).double()


def gradient(model: nn.Module, call: Callable[[Any, Tensor], Tensor], composite: str) -> Tensor:
    x = random(2, 6).requires_grad_()
    with lxt.patch(model, composite):
        (g,) = torch.autograd.grad(call(model, x)[:, 0].sum(), x)
    return g


@EVERY_COMPOSITE
@pytest.mark.parametrize("name", WAYS)
def test_all_that_the_model_computes_has_its_rules(name: str, composite: str) -> None:
    make, call = WAYS[name]
    model = drawn(make)
    want = gradient(drawn(Forward), lambda m, x: m(x), composite)
    x = random(2, 6).requires_grad_()
    (plain,) = torch.autograd.grad(call(model, x)[:, 0].sum(), x)
    assert relative_error(plain, want) > 1e-2
    was = snapshot(model)
    assert relative_error(gradient(model, call, composite), want) < 1e-12
    assert differences(was, model) == []
    assert "__call__" in vars(Called) and "__call__" not in vars(CalledBelow)
    (again,) = torch.autograd.grad(call(model, x)[:, 0].sum(), x)
    assert torch.equal(again, plain)


@EVERY_COMPOSITE
@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("name", ["hooks", "its own __call__", "a base's __call__"])
def test_attribute_explains_what_the_caller_gives(name: str, ledger: bool, composite: str) -> None:
    model, x = drawn(WAYS[name][0]), random(2, 6)
    want = lxt.attribute(drawn(Forward), x, 0, composite, ledger=True)
    got = lxt.attribute(model, x, 0, composite, ledger=ledger)
    assert relative_error(got.relevance, want.relevance) < 1e-12
    if ledger:
        assert got.ledger is not None and closing_error(got.ledger) < 1e-12
        assert got.ledger.entries.keys() == want.ledger.entries.keys()


@pytest.mark.parametrize("name", WAYS)
def test_what_has_no_rule_is_an_error_wherever_it_runs(name: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(globals(), "gated", lambda h: torch.logcumsumexp(h, -1))
    make, call = WAYS[name]
    with pytest.raises(UnruledError, match="Logcumsumexp"):
        gradient(drawn(make), call, "attnlrp")


def test_counting_from_the_end_counts_hooks() -> None:
    at = lxt.Assign(lxt.rules.Gradient(), where="last", kind="product")
    composite = lxt.composites.AttnLRP() + lxt.Composite([at])
    x = random(2, 6)
    for name in ("hooks", "its own __call__"):
        model = drawn(WAYS[name][0])
        want = lxt.attribute(drawn(Forward), x, 0, composite).relevance
        assert relative_error(lxt.attribute(model, x, 0, composite).relevance, want) < 1e-12
        assert relative_error(lxt.attribute(model, x, 0).relevance, want) > 1e-3


@EVERY_COMPOSITE
def test_what_the_caller_computes_keeps_its_gradient(composite: str) -> None:
    """On the way in, between two calls, and on the outputs; relevance times the inputs, too."""
    model, x = drawn(Net), random(2, 6).requires_grad_()
    loss = nn.CrossEntropyLoss()
    y = torch.tensor([0, 2])
    with lxt.patch(model, composite):
        given = torch.logcumsumexp(x, -1)
        hidden = model.a(given)
        between = hidden * hidden.sigmoid()
        out = model.b(between)
        score = loss(out, y) + (out.softmax(-1) * out).sum()
        score.backward()
        assert x.grad is not None
        relevance = x * x.grad
    a, b = model.a, model.b
    (want,) = torch.autograd.grad(
        loss(o := b(gated(a(torch.logcumsumexp(x, -1)))), y) + (o.softmax(-1) * o).sum(), x
    )
    assert relative_error(relevance, x * want) < 1e-12


def test_an_outer_patch_does_not_apply_to_an_explanation_inside() -> None:
    for name in ("hooks", "its own __call__", "a method"):
        model, x = drawn(WAYS[name][0]), random(2, 6)
        want = [lxt.attribute(model, x, 0, c).relevance for c in COMPOSITES]
        with lxt.patch(model, "gradient"):
            for c, wanted in zip(COMPOSITES, want, strict=True):
                for ledger in (False, True):
                    got = lxt.attribute(model, x, 0, c, ledger=ledger).relevance
                    assert relative_error(got, wanted) < 1e-12


def test_other_instances_of_a_class_with_its_own_call_are_untouched() -> None:
    model, other, x = drawn(Called), drawn(Called), random(2, 6).requires_grad_()
    before = vars(Called)["__call__"]
    (want,) = torch.autograd.grad(other(x)[:, 0].sum(), x)
    with lxt.patch(model), lxt.patch(drawn(Called), "cp_lrp"):
        (got,) = torch.autograd.grad(other(x)[:, 0].sum(), x)
    assert torch.equal(got, want)
    assert vars(Called)["__call__"] is before


def test_a_method_in_another_thread() -> None:
    model, x = drawn(Method), random(2, 6)
    plain = model.features(x)
    seen: list[Any] = []

    def use() -> None:
        with torch.no_grad():
            seen.append(model.features(x))
        try:
            model.features(x.clone().requires_grad_())
        except PatchError as error:
            seen.append(error)

    with lxt.patch(model):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    assert torch.equal(seen[0], plain)
    assert "another thread" in str(seen[1])


def test_clip_features() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    config = transformers.CLIPConfig(
        text_config={**vision, "num_attention_heads": 2, "vocab_size": 20},
        vision_config={**vision, "num_attention_heads": 2, "image_size": 8, "patch_size": 4},
        projection_dim=6,
    )
    model = transformers.CLIPModel(config).eval().double()

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.clip = model

        def forward(self, x: Tensor) -> Tensor:
            out = self.clip.get_image_features(pixel_values=x)
            return out if isinstance(out, Tensor) else out.pooler_output

    x = random(1, 3, 8, 8).requires_grad_()
    want = lxt.attribute(Features(), x.detach(), 0).relevance
    with lxt.patch(model):
        out = model.get_image_features(pixel_values=x)
        (out if isinstance(out, Tensor) else out.pooler_output)[0, 0].backward()
    assert x.grad is not None
    assert relative_error(x * x.grad, want) < 1e-10


def test_a_loss_that_is_a_method_keeps_its_gradient() -> None:
    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.b(torch.tanh(self.a(x)))
            return out

        def loss(self, x: Tensor, y: Tensor) -> Tensor:
            return nn.functional.cross_entropy(self(x), y)

    model, y = draw(WithLoss()).double(), torch.tensor([0, 1])
    x, z = (random(2, 6).requires_grad_() for _ in range(2))
    with lxt.patch(model):
        model.loss(x, y).backward()
        nn.functional.cross_entropy(model(z), y).backward()
    torch.testing.assert_close(x.grad, z.grad)
