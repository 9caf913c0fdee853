"""A session resolves rules, warns once, and counts execution order."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import lxt_like as lxt
from lxt_like.errors import UnruledError, UnruledWarning
from lxt_like.intercept import Session, types_of
from lxt_like.rules import Epsilon, Gradient
from tests.support import random

ONLY_FIRST = lxt.Composite([Epsilon(), lxt.Assign(Epsilon(0.5), where="first")])


def test_rules_and_steps() -> None:
    session = Session(ONLY_FIRST, steps=[])
    session.stack.append(("m", ("Linear",)))
    assert session.rule("linear", torch.mm) == Epsilon(0.5)
    assert session.rule("linear", torch.mm) == Epsilon()
    session.restart()
    assert session.rule("linear", torch.mm) == Epsilon(0.5)
    assert [(s.index, s.op, s.kind, s.path) for s in session.steps] == [
        (i, "mm", "linear", "m") for i in range(3)
    ]


def test_a_missing_rule() -> None:
    strict, lenient = (Session(ONLY_FIRST, strict=flag) for flag in (True, False))
    with pytest.raises(
        UnruledError, match="no rule for the norm operation layer_norm in the model"
    ):
        strict.rule("norm", torch.layer_norm)
    with pytest.warns(UnruledWarning, match="no rule for the norm"):
        assert lenient.rule("norm", torch.layer_norm) == Gradient()


def test_one_warning_for_each_cause_and_forward() -> None:
    session = Session(ONLY_FIRST, strict=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session.warn("one")
        session.warn("one")
        session.warn("two")
        session.restart()
        session.warn("one")
    assert [str(w.message) for w in caught] == ["one", "two", "one"]


def test_counting_gives_the_plain_gradient() -> None:
    session = Session(ONLY_FIRST, counting=True)
    assert session.rule("linear", torch.mm) == Gradient()
    assert session.rule("norm", torch.mm) == Gradient()
    assert session.resolver.counts == [1, 1]


def test_resumed_counts() -> None:
    session = Session(ONLY_FIRST)
    for _ in range(2):
        session.rule("linear", torch.mm)
    with session.resumed([0, 0]):
        assert session.rule("linear", torch.mm) == Epsilon(0.5)
    assert session.resolver.counts == [2, 2]
    with session.resumed(None):
        assert session.rule("linear", torch.mm) == Epsilon()
    assert session.resolver.counts == [3, 3]


def test_only_composites_of_gradients_need_no_walk() -> None:
    x = random(2).requires_grad_()
    out = torch.atan(x)
    assert Session(lxt.composites.Plain()).check([out]) == []
    with pytest.raises(UnruledError, match=r"AtanBackward0.*What to do: register a handler"):
        Session(ONLY_FIRST).check([out])


def test_long_lists_are_cut() -> None:
    x = random(2).requires_grad_()
    out = sum(
        f(x) for f in (torch.atan, torch.sinh, torch.asinh, torch.erfinv, torch.digamma, torch.i0,
                       torch.lgamma, torch.sinc, torch.exp2, torch.asin)
    )  # fmt: skip
    with pytest.raises(UnruledError, match=r"no rule for 10 operation\(s\).*; and 2 more"):
        Session(ONLY_FIRST).check([out])


def test_types() -> None:
    assert types_of(nn.Linear(1, 1)) == ("Linear", "Module")
    assert types_of(nn.BatchNorm2d(1))[:3] == ("BatchNorm2d", "_BatchNorm", "_NormBase")
