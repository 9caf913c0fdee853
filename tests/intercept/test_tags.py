"""Roles of tensors: they survive what keeps their meaning, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lxt_like as lxt
from lxt_like.intercept import Session, active
from lxt_like.intercept.tags import rank, recipe, tag
from tests.support import random

SIGNAL = random(2, 3, seed=5).requires_grad_()


def role_of(f: Callable[[Tensor], Tensor]) -> str | None:
    session = Session(lxt.composites.AttnLRP())
    session.stack.append(("", ()))
    with active(session):
        found = tag(f(random(2, 3).requires_grad_()))
    return None if found is None else found.role


def sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


def written(y: Tensor, write: Callable[[Tensor], object]) -> Tensor:
    write(y)
    return y


ROLES: dict[str, tuple[Callable[[Tensor], Tensor], str | None]] = {
    "softmax": (lambda x: x.softmax(-1), "softmax"),
    "sigmoid": (sigmoid, "gate"),
    "hardsigmoid": (F.hardsigmoid, "gate"),
    "silu": (F.silu, "activation"),
    "relu": (F.relu, "activation"),
    "tanh": (torch.tanh, "odd"),
    "1 + tanh": (lambda x: 1 + torch.tanh(x), "gate"),
    "erf + 1": (lambda x: torch.erf(x) + 1, "gate"),
    "tanh += 1": (lambda x: written(torch.tanh(x), lambda y: y.add_(1)), "gate"),
    "rsqrt": (lambda x: x.square().mean(-1, keepdim=True).rsqrt(), "scale"),
    "1 / x": (lambda x: 1 / x, "scale"),
    "x ** -0.5": (lambda x: x.square() ** -0.5, "scale"),
    "x": (lambda x: x * 2, None),
    "a linear layer of a gate": (lambda x: F.linear(sigmoid(x), torch.ones(2, 3).double()), None),
    "a sum of gate and signal": (lambda x: sigmoid(x) + SIGNAL, None),
    "gate += signal": (lambda x: written(sigmoid(x), lambda y: y.add_(SIGNAL)), None),
    "gate += 1": (lambda x: written(sigmoid(x), lambda y: y.add_(1)), "gate"),
    "gate plus a constant tensor": (lambda x: sigmoid(x) + torch.ones(3).double(), "gate"),
    "gate * signal": (lambda x: sigmoid(x) * SIGNAL, None),
    "gate *= signal": (lambda x: written(sigmoid(x), lambda y: y.mul_(SIGNAL)), None),
    "gate of a gate": (lambda x: sigmoid(x) * sigmoid(x + 1), "gate"),
    "gate * softmax": (lambda x: sigmoid(x) * x.softmax(-1), "gate"),
    "1.702 * gate": (lambda x: 1.702 * sigmoid(x), "gate"),
    "gate / 2": (lambda x: sigmoid(x) / 2, "gate"),
    "gate, renormalised": (lambda x: sigmoid(x) / sigmoid(x).sum(-1, keepdim=True), "gate"),
    "view": (lambda x: sigmoid(x).view(3, 2), "gate"),
    "mT": (lambda x: sigmoid(x).mT, "gate"),
    "slice": (lambda x: sigmoid(x)[:, :1], "gate"),
    "chunk": (lambda x: sigmoid(x).chunk(2)[0], "gate"),
    "cast": (lambda x: sigmoid(x).float().double(), "gate"),
    "expand": (lambda x: sigmoid(x)[:, :1].expand(2, 3), "gate"),
    "repeat_interleave": (lambda x: sigmoid(x).repeat_interleave(2, 0), "gate"),
    "scatter into zeros": (
        lambda x: torch.zeros(2, 3).double().scatter(1, torch.zeros(2, 3).long(), sigmoid(x)),
        "gate",
    ),
    "masked_fill": (lambda x: sigmoid(x).masked_fill(x.detach() > 0, 0.0), "gate"),
    "dropout": (lambda x: F.dropout(sigmoid(x), 0.1, training=False), "gate"),
    "cat of gates": (lambda x: torch.cat([sigmoid(x), sigmoid(x)]), "gate"),
    "cat of gate and signal": (lambda x: torch.cat([sigmoid(x), x]), None),
    "topk": (lambda x: x.softmax(-1).topk(2).values, "softmax"),
}


@pytest.mark.parametrize("name", ROLES)
def test_roles(name: str) -> None:
    f, role = ROLES[name]
    assert role_of(f) == role


def test_ranks() -> None:
    x = random(2)
    assert rank(x) == 0
    assert tag(3) is None


def test_recipes_die_with_their_tensors_contents() -> None:
    session = Session(lxt.composites.AttnLRP())
    session.stack.append(("", ()))
    with active(session):
        for change in ("nothing", "output", "source", "view"):
            x = random(3).requires_grad_() * 1
            y = F.silu(x)
            if change == "output":
                y.mul_(2)
            elif change == "source":
                x.zero_()
            elif change == "view":
                y[:1].zero_()
            assert (recipe(y) is not None) == (change == "nothing"), change
    assert recipe(random(2)) is None
