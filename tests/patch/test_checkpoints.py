"""Gradient checkpointing around a patch: what begins, or ends, outside it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import PatchError, UnruledError
from tests.models.checkpointed import net
from tests.models.tiny import build
from tests.oracles.arrays import relative_error
from tests.support import random

REENTRANT = pytest.mark.parametrize("reentrant", [True, False])


def begun(model: Any) -> tuple[Tensor, Tensor]:
    x = random(2, 6).requires_grad_()
    return x, model(x)[:, 0].sum()


def ended(x: Tensor, score: Tensor) -> Tensor:
    score.backward()
    assert x.grad is not None
    return x.grad


@REENTRANT
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_forward_from_before_the_patch(reentrant: bool, elsewhere: bool) -> None:
    """Its backward would compute the checkpoint again under the rules: it is refused."""
    model = net(reentrant)
    plain = ended(*begun(model))
    x, score = begun(model)
    caught: list[BaseException] = []

    def backward() -> None:
        try:
            score.backward(retain_graph=True)
        except PatchError as error:
            caught.append(error)

    with lxt.patch(model):
        if elsewhere:
            thread = threading.Thread(target=backward)
            thread.start()
            thread.join()
        else:
            backward()
    assert "that this patch has not seen: it ran before the patch" in str(caught[0])
    assert x.grad is None
    assert torch.equal(ended(*begun(model)), plain)


@REENTRANT
@pytest.mark.parametrize("lean", [True, False])
def test_a_forward_under_an_outer_patch_keeps_its_rules(reentrant: bool, lean: bool) -> None:
    """Its backward inside a later patch of the same model; lean: the earlier one is attribute's."""
    model, plain = net(reentrant), net(None)
    with lxt.patch(plain):
        want = ended(*begun(plain))
    if lean:

        def late(logits: Tensor) -> Tensor:
            logits.register_hook(lambda g: patches.append(lxt.patch(model, "gradient")) or g)
            return logits[:, 0]

        patches: list[Any] = []
        x = random(2, 6)
        got = lxt.attribute(model, x, late).relevance
        patches[0].restore()
        assert relative_error(got, x * want) < 1e-12
    else:
        with lxt.patch(model):
            x, score = begun(model)
            with lxt.patch(model, "gradient"):
                assert relative_error(ended(x, score), want) < 1e-12
    assert relative_error(want, ended(*begun(plain))) > 1e-2


@REENTRANT
def test_a_backward_in_another_thread(reentrant: bool) -> None:
    """As a GPU's are: what began under the patch ends under it."""
    model, plain = net(reentrant), net(None)
    with lxt.patch(plain):
        want = ended(*begun(plain))
    with lxt.patch(model):
        x, score = begun(model)
        thread = threading.Thread(target=score.backward)
        thread.start()
        thread.join()
    assert relative_error(x.grad, want) < 1e-12


def test_an_explanation_in_the_middle_of_a_backward() -> None:
    model, x = net(True), random(2, 6)
    want = lxt.attribute(net(None), x, 0).relevance
    got = []
    begin = random(2, 6).requires_grad_()
    begin.register_hook(lambda g: got.append(lxt.attribute(model, x, 0).relevance))
    begin.exp().sum().backward()
    assert relative_error(got[0], want) < 1e-12


@pytest.mark.parametrize("transformers", [False, True])
def test_what_a_reentrant_checkpoint_hides_is_checked(transformers: bool) -> None:
    model = net(True, transformers)
    model.block.append(Unruled())
    with pytest.raises(UnruledError, match="logcumsumexp"):
        lxt.attribute(model, random(2, 6), 0)


class Unruled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.logcumsumexp(x, -1)


def test_a_kept_checkpointing_function_outlives_the_patch() -> None:
    model = build("bert").train()
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    layer, x = model.bert.encoder.layer[0], random(2, 6)
    with lxt.patch(model):
        kept = layer._gradient_checkpointing_func
    assert torch.equal(kept(torch.exp, x), x.exp())
