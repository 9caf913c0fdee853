"""What the presets do, seen at one attention and one gate; rules in their places."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.composites import PRESETS, AttnLRP, composite
from lxt_like.errors import CompositeError, UnruledError
from lxt_like.rules.base import PARENTS
from tests.models.tiny import build, inputs
from tests.oracles.arrays import relative_error
from tests.support import inline, random


def test_every_kind_has_a_rule_in_every_preset() -> None:
    for name, make in PRESETS.items():
        kinds = frozenset().union(*(a.rule.kinds for a in make().assignments))
        assert kinds | set(PARENTS) == set(lxt.rules.KINDS), name


def test_arguments_change_the_name() -> None:
    assert lxt.composites.AttnLRP(0.1).name is None
    assert lxt.composites.CPLRP(0.1).name is None
    assert lxt.composites.Epsilon(0.1).name is None
    assert lxt.composites.Epsilon(1e-6) == lxt.composites.composite("epsilon")


def test_the_gradient_preset_is_the_gradient() -> None:
    for name in ("bert", "llama", "gemma2"):
        model, batch = build(name).double(), inputs(name)
        x = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
        logits = model(inputs_embeds=x, attention_mask=batch["attention_mask"]).logits
        (grad,) = torch.autograd.grad(logits[:, 0].sum(), x)
        got = lxt.attribute(model, batch, 0, "gradient").relevance
        assert relative_error(got, (x * grad).sum(-1)) < 1e-12, name


def test_epsilon_absorbs() -> None:
    model, batch = build("bert"), inputs("bert")
    plain = lxt.attribute(model, batch, 0, "attnlrp").relevance
    small = lxt.attribute(model, batch, 0, lxt.composites.Epsilon(1e-6), ledger=True)
    large = lxt.attribute(model, batch, 0, lxt.composites.Epsilon(0.5), ledger=True)
    assert relative_error(small.relevance, plain) < 1e-3
    assert relative_error(large.relevance, plain) > 1e-2
    for got in (small, large):
        assert got.ledger.closed
        assert bool((got.ledger.entries["epsilon"] != 0).all())


def body(m: nn.Module, x: Tensor) -> Tensor:
    return F.silu(m.a(x)) * m.b(x)


def test_an_own_composite_rules_where_it_says() -> None:
    model, x = inline(body), random(2, 6)
    plainly = lxt.Assign(lxt.rules.Gradient(), name="a")
    own = lxt.composites.AttnLRP() + lxt.Composite([lxt.Assign(lxt.rules.Epsilon(0.5), name="b")])
    got = lxt.attribute(model, x, 0, own, ledger=True)
    share = {r.path: r.rule for r in lxt.plan(model, own, x).rows if r.kind == "linear"}
    assert share == {"a": "Epsilon(eps=0.0)", "b": "Epsilon(eps=0.5)", "c": "Epsilon(eps=0.0)"}
    z = model.b(x)
    kept = model.c.weight[0] * F.silu(model.a(x)) / 2 * 0.5 * z.sign() * z / (z + 0.5 * z.sign())
    assert relative_error(got.ledger.entries["epsilon"], kept.sum(-1)) < 1e-11
    # the plain gradient of a linear layer is its rule with eps = 0
    same = lxt.composites.AttnLRP() + lxt.Composite([plainly])
    want = lxt.attribute(model, x, 0).relevance
    assert relative_error(lxt.attribute(model, x, 0, same).relevance, want) < 1e-12


def test_a_module_type_selects_what_runs_in_it() -> None:
    model, batch = build("llama"), inputs("llama")
    own = lxt.composites.AttnLRP() + lxt.Composite(
        [lxt.Assign(lxt.rules.ValueOnly(), module="LlamaAttention")]
    )
    rules = {r.rule for r in lxt.plan(model, own, batch).rows if r.kind == "attention"}
    assert rules == {"ValueOnly()"}


@pytest.mark.parametrize("missing", ["activation", "product", "linear"])
def test_a_kind_without_an_assignment_is_an_error(missing: str) -> None:
    model, x = inline(body), random(2, 6)
    kept = [
        lxt.Assign(a.rule, kind=kind)
        for a in lxt.composites.AttnLRP().assignments
        for kind in sorted(a.rule.kinds - {missing})
    ]
    message = (
        rf"no rule for the {missing} operation .*; add lxt\.Assign\(<rule>, kind='{missing}'\)"
    )
    with pytest.raises(UnruledError, match=message):
        lxt.attribute(model, x, 0, lxt.Composite(kept))
    with pytest.warns(lxt.errors.UnruledWarning, match=f"no rule for the {missing}"):
        lxt.attribute(model, x, 0, lxt.Composite(kept), strict=False)


def test_a_preset_that_was_not_called() -> None:
    with pytest.raises(CompositeError, match="the function AttnLRP: call it"):
        composite(AttnLRP)
