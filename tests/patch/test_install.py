"""All or nothing: an install that fails half-way leaves the identical objects."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

import lxt_like as lxt
from lxt_like.patch import install
from tests.models.tiny import build
from tests.restore.snapshot import differences, snapshot


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_module_that_cannot_be_patched(monkeypatch: Any, after: int) -> None:
    model = build("bert")
    was = snapshot(model)
    put, count = install.Scoped.put, 0

    def failing(self: Any) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise MemoryError("half-way")
        put(self)

    with monkeypatch.context() as m:
        m.setattr(install.Scoped, "put", failing)
        with pytest.raises(MemoryError):
            lxt.patch(model)
    assert count == after + 1
    assert differences(was, model) == []
    assert install._attributes == {}
    lxt.patch(model).restore()
    assert differences(was, model) == []


@pytest.mark.parametrize("use", [lxt.attribute, lxt.audit, lxt.plan])
@pytest.mark.parametrize("affine", [True, False])
def test_weights_that_do_not_exist_yet(use: Any, affine: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.LazyBatchNorm1d(affine=affine), nn.LazyLinear(3))
    given = (model.eval(), torch.randn(2, 4))
    if use is lxt.plan:
        given = (model, "attnlrp", given[1])
    with pytest.raises(lxt.errors.ModelError, match=r"1 \(LazyBatchNorm1d\) .* run the model once"):
        use(*given)
    model(torch.randn(2, 4))
    use(*given)


def test_a_parameter_that_cannot_be_frozen() -> None:
    model = build("bert")
    stubborn = model.classifier.bias

    class Stubborn(nn.Parameter):
        def requires_grad_(self, requires_grad: bool = True) -> Any:
            raise KeyboardInterrupt

    model.classifier.bias = Stubborn(stubborn.detach().clone())
    was = snapshot(model)
    with pytest.raises(KeyboardInterrupt):
        lxt.patch(model)
    stuck = install._frozen
    try:
        changed = [d for d in differences(was, model) if "classifier.bias" not in d]
        assert changed == []
    finally:
        stuck.clear()


class Steps(nn.Sequential):
    """Its steps are run, but not handed out."""

    def __iter__(self) -> Any:
        raise TypeError("steps cannot be iterated over")

    def forward(self, x: Any) -> Any:
        for module in self._modules.values():
            x = module(x)
        return x


def test_a_model_that_cannot_be_iterated_over() -> None:
    model, x = Steps(nn.Linear(4, 4), nn.Linear(4, 2)), torch.randn(2, 4)
    plain = nn.Sequential(*model._modules.values())
    was = snapshot(model)
    assert torch.equal(lxt.attribute(model, x, 0).relevance, lxt.attribute(plain, x, 0).relevance)
    assert differences(was, model) == []


@pytest.mark.parametrize("step", ["tail", "other_paths", "parameters_of", "frozen"])
def test_whatever_fails_in_a_patch_leaves_the_model_free(monkeypatch: Any, step: str) -> None:
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), torch.randn(2, 4)
    named = lxt.Composite([lxt.Assign(lxt.rules.Gradient(), name="0")])
    was = snapshot(model)
    with monkeypatch.context() as m:
        m.setattr(sys.modules["lxt_like.patch.patch"], step, _broken)
        with pytest.raises(MemoryError):
            lxt.attribute(model, x, 0, named)
    assert differences(was, model) == []
    assert install._attributes == {} and install._holding == {}


def test_a_failure_under_another_patch_leaves_that_one(monkeypatch: Any) -> None:
    model = build("bert")
    was = snapshot(model)
    with lxt.patch(model, "cp_lrp"):
        with monkeypatch.context() as m:
            m.setattr(install, "types_of", _broken)
            with pytest.raises(MemoryError):
                lxt.patch(model)
        scoped = vars(model)["forward"]
        assert [p[0].composite.name for p in scoped.patches] == ["cp_lrp"]
    assert differences(was, model) == []


def _broken(*given: Any) -> Any:
    raise MemoryError


def test_own_forwards_and_shared_modules_are_put_back() -> None:
    """A forward that somebody put on the instance, and one module under two names."""
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(4, 2))
    own = nn.Linear(4, 2).requires_grad_(False).forward
    model[3].forward = own
    was = snapshot(model)
    x = torch.randn(2, 4)
    got = lxt.attribute(model, x, 0, ledger=True)
    assert torch.equal(got.output, model(x))
    assert got.ledger.closed
    assert differences(was, model) == []
    assert vars(model[3])["forward"] is own


def test_flags_are_put_back_as_they_were() -> None:
    model = build("bert")
    for i, p in enumerate(model.parameters()):
        p.requires_grad_(i % 3 == 0)
    was = snapshot(model)
    first, second = lxt.patch(model), lxt.patch(model)
    model.classifier.bias.requires_grad_(True)  # a user's doing, inside the patch
    first.restore()
    assert not model.bert.embeddings.word_embeddings.weight.requires_grad
    second.restore()
    assert differences(was, model) == []
