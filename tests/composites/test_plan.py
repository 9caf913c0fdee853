"""Plans say what happens: module by module, or operation by operation."""

from __future__ import annotations

import json

import lxt_like as lxt
from tests.models.tiny import build, inputs
from tests.restore.snapshot import differences, snapshot

MODEL, BATCH = build("llama"), inputs("llama")


def test_without_inputs() -> None:
    plan = lxt.plan(MODEL)
    rows = {row.path: row for row in plan.rows}
    assert rows["model.layers.0.mlp.gate_proj"].kind == "linear"
    assert rows["model.layers.0.mlp.gate_proj"].rule == "Epsilon(eps=0.0)"
    assert rows["model.norm"].rule == "ConstantScale()"
    assert rows["model.layers.1.mlp.act_fn"].kind == "activation"
    assert "model.layers.0" not in rows
    assert "operations written inline are listed when inputs are given" in str(plan)


def test_with_inputs_every_operation_in_order() -> None:
    was = snapshot(MODEL)
    plan = lxt.plan(MODEL, "cp_lrp", BATCH)
    kinds = [row.kind for row in plan.rows]
    assert kinds.count("attention") == 2
    assert kinds.count("linear") == 2 * 7 + 1
    attention = [row for row in plan.rows if row.kind == "attention"]
    assert [row.path for row in attention] == [f"model.layers.{i}.self_attn" for i in (0, 1)]
    assert {row.rule for row in attention} == {"ValueOnly()"}
    assert {row.module for row in attention} == {"LlamaAttention"}
    assert plan.rows[-1].path == "score"
    assert differences(was, MODEL) == []


def test_what_counts_from_the_end_is_in_both_plans() -> None:
    last = lxt.Assign(lxt.rules.Epsilon(0.5), where="last")
    composite = lxt.composites.AttnLRP() + lxt.Composite([last])
    for plan in (lxt.plan(MODEL, composite), lxt.plan(MODEL, composite, BATCH)):
        chosen = [row.path for row in plan.rows if row.rule == "Epsilon(eps=0.5)"]
        assert chosen == ["score"]


def test_what_has_no_rule_is_said() -> None:
    plan = lxt.plan(MODEL, lxt.Composite([lxt.rules.Epsilon()]))
    assert {row.rule for row in plan.rows if row.kind == "norm"} == {"no rule"}


def test_plans_are_plain_data() -> None:
    for plan in (lxt.plan(MODEL), lxt.plan(MODEL, inputs=BATCH)):
        data = json.loads(json.dumps(plan.to_dict()))
        assert len(data["rows"]) == len(plan.rows)
        assert data["composite"] == repr(lxt.composites.AttnLRP())
        lines = str(plan).splitlines()
        assert len(lines) >= len(plan.rows) + 2
        assert lines[0].split()[-2:] == ["kind", "rule"]
