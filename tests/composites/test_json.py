"""Composites and rules as data: JSON, pickle, code."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
import torch

import lxt_like as lxt
from lxt_like import rules
from lxt_like.composites import PRESETS, composite
from lxt_like.errors import CompositeError

MEAN = torch.tensor([0.4, 0.5, 0.6]).view(-1, 1, 1)
MIXED = lxt.Composite(
    [
        rules.Epsilon(1e-6, clip=True),
        lxt.Assign(rules.Gamma(0.1, zero_bias=True), kind="conv", name="a.*[0]", module="Conv2d"),
        lxt.Assign(rules.AlphaBeta(3.0, 2.0), where=range(-4, -1)),
        lxt.Assign(rules.ZBox(-MEAN, 1 - MEAN.double()), where="first"),
        lxt.Assign(rules.Flat(), kind="linear", where="last"),
        rules.Ratio(),
    ],
    name='of "my" own ü',
)
COMPOSITES = {**{name: composite(name) for name in PRESETS}, "mixed": MIXED}


@pytest.mark.parametrize("name", COMPOSITES)
def test_there_and_back(name: str) -> None:
    given = COMPOSITES[name]
    for back in (
        lxt.Composite.from_json(given.to_json()),
        pickle.loads(pickle.dumps(given)),
        eval(repr(given), {"lxt": lxt}),
    ):
        assert back == given
        assert hash(back) == hash(given)
        assert repr(back) == repr(given)
        assert back.name == given.name


EVERY = [getattr(rules, name) for name in rules.__all__ if name[0].isupper()]
EVERY = [
    r for r in EVERY if isinstance(r, type) and issubclass(r, rules.Rule) and r is not rules.Rule
]


@pytest.mark.parametrize("cls", EVERY, ids=lambda c: c.__name__)
def test_every_rule(cls: type[rules.Rule]) -> None:
    given = lxt.Composite([cls()])
    assert lxt.Composite.from_json(given.to_json()) == given
    assert eval(f"lxt.rules.{cls()!r}", {"lxt": lxt}) == cls()


def changed(**changes: Any) -> str:
    made = json.loads(lxt.Composite([rules.Gamma(0.5)]).to_json())
    for path, value in changes.items():
        at = made
        *parents, last = path.split("__")
        for key in parents:
            at = at[int(key)] if key.isdigit() else at[key]
        at[last] = value
    return json.dumps(made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "JSON"),
        ("[]", "expected an object"),
        ("{}", "assignments, version is missing"),
        (changed(version=2), "of version 2"),
        (changed(more=1), "unknown more"),
        (changed(assignments=3), "must be a list"),
        (changed(assignments__0__rule__type="Nope"), "unknown rule 'Nope'; the rules are"),
        (changed(assignments__0__rule__type="__class__"), "unknown rule"),
        (changed(assignments__0__rule__beta=1), "assignment 0, Gamma: unknown beta"),
        (changed(assignments__0__rule__gamma=-1), "gamma must be a finite number"),
        (changed(assignments__0__kind="nope"), "unknown kind"),
        (changed(assignments__0__where=[1]), r"where must be \[start, stop\]"),
        (changed(assignments__0__where="middle"), "where must be"),
        (changed(name=3), "name must be a text"),
        (
            changed(assignments__0__rule={"type": "ZBox", "low": {"dtype": "int8", "values": [0]}}),
            "float dtype",
        ),
        (
            changed(
                assignments__0__rule={
                    "type": "ZBox",
                    "low": {"dtype": "float32", "values": [[0], [1, 2]]},
                }
            ),
            "regular nest",
        ),
    ],
)
def test_bad_json(text: str, message: str) -> None:
    with pytest.raises(lxt.LxtError, match=message):
        lxt.Composite.from_json(text)


def test_a_tensor_bound_means_the_same() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2)
    )
    x = torch.rand(1, 3, 4, 4) - MEAN
    given = lxt.composites.EpsilonGammaBox(-MEAN, 1 - MEAN)
    back = lxt.Composite.from_json(given.to_json())
    one, two = (lxt.attribute(model, x, composite=c).relevance for c in (given, back))
    assert torch.equal(one, two)


def test_a_composite_error_is_raised_for_no_text() -> None:
    with pytest.raises(CompositeError):
        lxt.Composite.from_json(None)  # type: ignore[arg-type]
