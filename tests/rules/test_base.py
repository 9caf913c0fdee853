"""A gradient scaled for one consumer alone; rules as frozen data."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
import torch

import lxt_like as lxt
from lxt_like import rules
from lxt_like.rules.base import CAUSES, KINDS, consumer, scaled
from tests.support import random

EVERY_RULE = [
    cls()
    for name in rules.__all__
    if isinstance(cls := getattr(rules, name), type) and cls is not rules.Rule
]


def test_only_this_consumers_gradient_is_scaled() -> None:
    x = random(3).requires_grad_()
    (scaled(x, 0.25) * 2 + 3 * x).sum().backward()
    assert torch.equal(x.grad, torch.full((3,), 0.25 * 2 + 3).double())


def test_a_hidden_state_keeps_its_whole_gradient() -> None:
    x = random(3).requires_grad_()
    hidden = x * 2
    hidden.retain_grad()
    (scaled(hidden, 0.5) + hidden).sum().backward()
    assert torch.equal(hidden.grad, torch.full((3,), 1.5).double())


def test_a_view_of_a_chunk_is_scaled_alone() -> None:
    x = random(4).requires_grad_()
    left, right = x.chunk(2)  # one node makes both
    (scaled(left, 0.5) + right).sum().backward()
    assert x.grad.tolist() == [0.5, 0.5, 1.0, 1.0]


def test_no_graph_is_refused_not_skipped() -> None:
    with torch.no_grad(), pytest.raises(RuntimeError, match="keeps no graph"):
        consumer(random(3))


@pytest.mark.parametrize("rule", EVERY_RULE, ids=repr)
def test_rules_are_data(rule: rules.Rule) -> None:
    assert eval(f"lxt.rules.{rule!r}", {"lxt": lxt}) == rule
    assert hash(rule) == hash(type(rule)())
    assert rule.kinds
    assert rule.kinds <= set(KINDS)
    assert type(rule).__doc__
    for field in fields(rule):
        with pytest.raises(FrozenInstanceError):
            setattr(rule, field.name, None)


def test_docstrings_say_formula_and_use() -> None:
    for rule in EVERY_RULE:
        doc = str(type(rule).__doc__)
        assert "Formula:" in doc, rule
        assert rule == rules.Gradient() or ("Use:" in doc and "Source:" in doc), rule


def test_causes_have_an_explanation() -> None:
    assert all(CAUSES.values())
