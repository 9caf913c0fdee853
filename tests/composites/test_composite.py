"""Assignments: what they fit, which wins, and that they print as the code that makes them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from torch import nn

import lxt_like as lxt
from lxt_like import Assign, Composite
from lxt_like.composites import PRESETS, Resolver, Site
from lxt_like.errors import CompositeError
from lxt_like.rules import Epsilon, Gradient, Identity, Uniform

HALF, TENTH = Epsilon(0.5), Epsilon(0.1)
SITE = Site("linear", "encoder.layer.3.mlp", ("MyLinear", "Linear", "Module"))


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({}, True),
        ({"kind": "linear"}, True),
        ({"module": "Linear"}, True),
        ({"module": "MyLinear"}, True),
        ({"module": nn.Linear}, True),
        ({"module": "LinearNorm"}, False),
        ({"module": nn.Conv2d}, False),
        ({"name": "encoder.*"}, True),
        ({"name": "*.3.*"}, True),
        ({"name": "encoder"}, False),
        ({"name": "Encoder.*"}, False),
        ({"name": "encoder.layer.[0-3].mlp", "module": "Linear", "kind": "linear"}, True),
        ({"name": "encoder.*", "module": "Conv2d"}, False),
    ],
)
def test_conditions(conditions: dict[str, Any], fits: bool) -> None:
    assert Assign(HALF, **conditions).fits(SITE) == fits


def test_a_rule_fits_its_own_kinds_alone() -> None:
    assert not Assign(Identity()).fits(SITE)
    assert Assign(Gradient()).fits(SITE)
    assert Assign(Uniform()).fits(Site("product", "")) and Assign(Uniform()).fits(
        Site("bilinear", "")
    )
    assert not Assign(Uniform(), kind="product").fits(Site("bilinear", ""))


def resolved(composite: Composite, sites: list[Site]) -> list[Any]:
    counting = Resolver(composite)
    for s in sites:
        counting.rule(s.kind, s.path, s.types)
    resolver = Resolver(composite, tuple(counting.counts))
    return [resolver.rule(s.kind, s.path, s.types) for s in sites]


def test_the_last_match_wins() -> None:
    assert resolved(Composite([HALF, TENTH]), [SITE]) == [TENTH]
    assert resolved(Composite([HALF, Assign(TENTH, name="nothing")]), [SITE]) == [HALF]
    assert resolved(Composite([Identity()]), [SITE]) == [None]
    assert resolved(Composite([HALF]) + [TENTH], [SITE]) == [TENTH]  # noqa: RUF005
    assert resolved(Composite([HALF]) + Composite([TENTH]), [SITE]) == [TENTH]


FIVE = [Site("linear", f"l{i}") for i in range(5)]


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        (None, "01234"),
        ("first", "0"),
        ("last", "4"),
        (range(1, 3), "12"),
        (range(2), "01"),
        (range(3, 9), "34"),
        (range(-2, 0), "34"),
        (range(-1), "0123"),
        (range(-4, -2), "12"),
        (range(2, 2), ""),
    ],
)
def test_execution_order(where: Any, chosen: str) -> None:
    composite = Composite([HALF, Assign(TENTH, where=where)])
    rules = resolved(composite, FIVE)
    assert "".join(str(i) for i, rule in enumerate(rules) if rule == TENTH) == chosen


def test_order_is_counted_among_the_fitting_only() -> None:
    sites = [
        Site("linear", "a.0"),
        Site("norm", "b.0"),
        Site("linear", "b.1"),
        Site("linear", "b.2"),
    ]
    composite = Composite([HALF, Assign(TENTH, name="b.*", where="first")])
    assert resolved(composite, sites) == [HALF, None, TENTH, HALF]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_print_as_code(name: str) -> None:
    made = lxt.composites.composite(name)
    assert eval(repr(made), {"lxt": lxt}) == made
    assert pickle.loads(pickle.dumps(made)) == made
    assert hash(made) == hash(PRESETS[name]())
    assert made.name == name


MANY = Composite(
    [
        HALF,
        Assign(TENTH, kind="linear", module=nn.Linear, name="a.*", where=range(-2, 0)),
        Assign(Gradient(), where="first"),
    ]
)


@pytest.mark.parametrize("composite", [MANY, Composite([]), MANY + Composite([Identity()])])
def test_own_composites_print_as_code(composite: Composite) -> None:
    assert eval(repr(composite), {"lxt": lxt}) == composite
    assert pickle.loads(pickle.dumps(composite)) == composite
    assert hash(pickle.loads(pickle.dumps(composite))) == hash(composite)


def test_positional_and_totals() -> None:
    assert not Composite([HALF]).positional
    assert Composite([Assign(HALF, where="first")]).positional
    assert not Composite([Assign(HALF, where="first")]).needs_total
    assert Composite([Assign(HALF, where=range(-1, 0))]).needs_total


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": Epsilon}, "expected a rule such as"),
        ({"rule": "epsilon"}, "expected a rule such as"),
        ({"rule": HALF, "kind": "dense"}, "unknown kind 'dense'; the kinds are linear, conv"),
        ({"rule": HALF, "kind": "norm"}, "is no rule for 'norm'; it applies to linear"),
        ({"rule": HALF, "module": 3}, "module must be a class or its name"),
        ({"rule": HALF, "name": 3}, "name must be a glob"),
        ({"rule": HALF, "where": "middle"}, "where must be 'first', 'last', a range"),
        ({"rule": HALF, "where": range(0, 4, 2)}, "must have step 1"),
    ],
)
def test_bad_assignments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(CompositeError, match=message):
        Assign(**arguments)


def test_bad_composites() -> None:
    with pytest.raises(CompositeError, match=r"expected lxt\.Assign"):
        Composite(["epsilon"])
    with pytest.raises(CompositeError, match="got int"):
        lxt.composites.composite(3)
