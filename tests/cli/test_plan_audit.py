"""``lxt-like plan`` and ``lxt-like audit``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
)

import lxt_like as lxt
from lxt_like.cli.plan import grouped
from lxt_like.composites.plan import PlanRow
from lxt_like.explain.image.run import BOXED

from ..explain import makers

TEXT = "Not bad."


@pytest.fixture(scope="module")
def model():
    return AutoModelForSequenceClassification.from_pretrained(lxt.demo.sentiment()).eval()


@pytest.fixture(scope="module")
def inputs():
    return AutoTokenizer.from_pretrained(lxt.demo.sentiment())(TEXT, return_tensors="pt")


def test_plan_names_each_module_once(run, model):
    result = run("plan")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "sentiment · attnlrp"
    assert lines[2].split() == ["module", "type", "kind", "rule"]
    listed = {line.split()[0]: line.split()[1:] for line in lines[4:-2]}
    assert listed["bert.encoder.layer.{0-5}.attention.self.query"] == [
        "Linear",
        "linear",
        "Epsilon(eps=0.0)",
    ]
    paths = [path.replace("{0-5}", str(i)) for path in listed for i in range(6)]
    assert set(paths) == {row.path for row in lxt.plan(model).rows}


def test_plan_with_a_text_lists_what_runs(run, model, inputs):
    result = run("plan", "--text", TEXT, "-c", "cp_lrp")
    rows = [line.split() for line in result.stdout.splitlines()[4:]]
    expected = lxt.plan(model, "cp_lrp", inputs=dict(inputs)).rows
    assert [(r[0], r[1], r[-1]) for r in rows] == [(r.path, r.op, r.rule) for r in expected]


@pytest.mark.parametrize("text", [None, TEXT])
def test_plan_as_json(run, in_folder: Path, model, inputs, text: str | None):
    options = [] if text is None else ["--text", text]
    result = run("plan", "--json", *options)
    made = lxt.plan(model, inputs=None if text is None else dict(inputs))
    assert json.loads(result.stdout) == {"model": "sentiment", **made.to_dict()}
    result = run("plan", "--out", "plan.json", *options)
    assert (result.stdout, result.stderr) == ("", "wrote plan.json\n")
    assert json.loads(Path("plan.json").read_text()) == {"model": "sentiment", **made.to_dict()}


def test_plan_as_text_file(run, in_folder: Path):
    shown = run("plan").stdout
    assert run("plan", "--out", "plan.txt").exit_code == 0
    assert Path("plan.txt").read_text(encoding="utf-8") == shown


def row(path: str, rule: str = "R()") -> PlanRow:
    return PlanRow(path, "Linear", "linear", rule)


@pytest.mark.parametrize(
    ("paths", "shown"),
    [
        (["a.0.b"], ["a.0.b"]),
        (["a.0.b", "a.1.b", "a.2.b", "a.5.b"], ["a.{0-2,5}.b"]),
        (["0", "1", "conv1.0", "conv2.0"], ["{0-1}", "conv1.0", "conv2.0"]),
        (["a.0.b.0", "a.0.b.1", "a.1.b.0", "a.1.b.1"], ["a.{0-1}.b.{0-1}"]),
        (["a.10", "a.9", "a.8"], ["a.{8-10}"]),
    ],
)
def test_equal_layers_in_one_line(paths: list[str], shown: list[str]):
    assert [path for path, _ in grouped([row(p) for p in paths])] == shown


def test_layers_are_joined_only_where_that_invents_none():
    paths = ["a.0.b.0", "a.1.b.1"]  # not a.0.b.1 and a.1.b.0
    assert [path for path, _ in grouped([row(p) for p in paths])] == paths
    paths = ["a.0.b.0", "a.0.b.1", "a.1.b.0", "a.1.b.1", "a.2.b.0"]
    assert [path for path, _ in grouped([row(p) for p in paths])] == ["a.{0-1}.b.{0-1}", "a.2.b.0"]
    assert grouped([]) == []


def test_layers_of_different_rules_stay_apart():
    rows = [row("a.0"), row("a.1", "Other()"), row("a.2")]
    assert [(path, r.rule) for path, r in grouped(rows)] == [
        ("a.{0,2}", "R()"),
        ("a.1", "Other()"),
    ]


def test_audit_shows_every_operation_and_the_account(run, model, inputs):
    result = run("audit", TEXT)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[:2] == ["sentiment · attnlrp · positive", TEXT]
    made = lxt.audit(model, dict(inputs))
    assert len(made.rows) > 70
    for audited, line in zip(made.rows, lines[5:], strict=False):
        assert line.split()[:2] == [audited.path, audited.op]
        assert float(line.split()[-3]) == pytest.approx(audited.arrived, rel=1e-2, abs=1e-6)
        assert audited.rule in line
    score = float(made.ledger.score[0])
    assert f"score           {score:+.6g}"[:22] in result.stdout
    assert lines[-1] == "ok: the account closes"


def test_audit_without_a_text_takes_a_sample(run):
    result = run("audit")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1] == lxt.demo.reviews()[0]


@pytest.mark.parametrize(
    ("head", "read"),
    [
        (BertForMaskedLM, "[CLS] A gripping, funny film with a terrific [MASK]. [SEP]"),
        (BertForQuestionAnswering,
         "[CLS] What is it like? [SEP] A gripping, funny film with a terrific cast. [SEP]"),
        (BertForTokenClassification, "[CLS] A gripping, funny film with a terrific cast. [SEP]"),
    ],
)  # fmt: skip
def test_every_model_has_a_sample(run, tmp_path: Path, head: Any, read: str):
    tokenizer = AutoTokenizer.from_pretrained(lxt.demo.sentiment())
    makers.encoder(head, tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    made = run("audit", "--model", tmp_path, "--json")
    assert made.exit_code == 0, made.stderr
    document = json.loads(made.stdout)
    texts = [document[name] for name in ("text", "pair") if name in document]
    assert tokenizer(*texts)["input_ids"] == tokenizer(read, add_special_tokens=False)["input_ids"]
    pair = ["--pair", texts[1]] if texts[1:] else []
    again = run("audit", texts[0], "--model", tmp_path, "--json", *pair)
    assert again.stdout == made.stdout


def test_audit_that_does_not_close(run):
    result = run("audit", TEXT, "--composite", "gradient")
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout.endswith("\nNOT ok: the account does not close\n")


@pytest.mark.parametrize(("composite", "ok"), [("cp_lrp", True), ("gradient", False)])
def test_audit_as_json(run, composite: str, ok: bool):
    result = run("audit", TEXT, "-c", composite, "-t", "negative", "--json")
    assert result.exit_code == (0 if ok else 1)
    made = json.loads(result.stdout)
    assert made["ok"] is ok
    assert (made["model"], made["composite"], made["text"]) == ("sentiment", composite, TEXT)
    assert (made["target"]["label"], made["target"]["index"]) == ("negative", 0)
    ledger = made["ledger"]
    total = ledger["inputs"] + sum(ledger["entries"].values()) + ledger["gap"]
    assert total == pytest.approx(ledger["score"], abs=1e-9)
    assert made["rows"][-1]["path"] == "classifier"
    assert made["rows"][-1]["arrived"] == pytest.approx(ledger["score"], abs=1e-6)


def test_audit_of_a_text_that_is_too_long(run):
    result = run("audit", "A dull film. " * 100, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["ok"]


def test_audit_of_a_regression_head(run, regression: Path):
    made = json.loads(run("audit", "film", "--model", regression, "--json").stdout)
    assert re.fullmatch(r"LABEL_0", made["target"]["label"])
    assert made["ok"]


def test_a_second_text(run, model):
    tokenizer = AutoTokenizer.from_pretrained(lxt.demo.sentiment())
    both = dict(tokenizer("Not bad.", "It is dull.", return_tensors="pt"))
    found = json.loads(run("audit", "Not bad.", "--pair", "It is dull.", "--json").stdout)
    assert (found["text"], found["pair"]) == ("Not bad.", "It is dull.")
    made = lxt.audit(model, both)
    assert found["ledger"]["score"] == pytest.approx(float(made.ledger.score[0]), abs=1e-6)
    shown = run("audit", "Not bad.", "--pair", "It is dull.").stdout.splitlines()
    assert shown[1:4] == ["Not bad.", "It is dull.", ""]
    planned = run("plan", "--text", "Not bad.", "--pair", "It is dull.", "--json").stdout
    assert json.loads(planned)["rows"] == lxt.plan(model, inputs=both).to_dict()["rows"]


def test_what_an_encoder_decoder_has_written(run, tmp_path: Path):
    tokenizer = makers.wordpiece()
    seq2seq = makers.t5(tokenizer)
    seq2seq.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    found = [
        json.loads(run("audit", "film", "-m", tmp_path, "--json", *prefix).stdout)
        for prefix in ((), ("--prefix", "bad"))
    ]
    assert found[0]["ok"] and found[1]["ok"] and found[1]["prefix"] == "bad"
    assert found[0]["ledger"]["score"] != found[1]["ledger"]["score"]


def test_a_contrast(run, model, inputs):
    found = json.loads(run("audit", TEXT, "-t", "positive", "--foil", "negative", "--json").stdout)
    made = lxt.audit(model, dict(inputs), lxt.Contrast("positive", "negative"))
    assert found["ledger"]["score"] == pytest.approx(float(made.ledger.score[0]), abs=1e-6)
    assert found["target"]["label"] == "positive rather than negative"


@pytest.fixture(scope="module")
def picture():
    loaded = lxt.load_image_model(lxt.demo.vit())
    return loaded, loaded.inputs(loaded.batch([Image.open(lxt.demo.photo())]))


@pytest.mark.parametrize("composite", ["attnlrp", "attnlrp_gamma_box"])
def test_plan_of_an_image_classifier(run, picture, composite: str):
    loaded, inputs = picture
    shown = run("plan", "-m", lxt.demo.vit(), "-c", composite).stdout.splitlines()
    assert shown[0] == f"vit · {composite}"
    assert any(line.startswith("vit.layers.{0-5}.mlp.fc1 ") for line in shown)
    found = json.loads(run("plan", "--image", lxt.demo.photo(), "-c", composite, "--json").stdout)
    bounds = loaded.preprocess.bounds
    made = BOXED[composite](*bounds) if composite in BOXED else composite
    assert found["rows"] == lxt.plan(loaded.model, made, inputs).to_dict()["rows"]


@pytest.mark.parametrize("named", [True, False])
def test_audit_of_an_image_classifier(run, picture, named: bool):
    loaded, inputs = picture
    given = ["audit", lxt.demo.photo()] if named else ["audit", "-m", lxt.demo.vit()]
    found = json.loads(run(*given, "-t", "cat", "--json").stdout)
    made = lxt.audit(loaded.model, inputs, loaded.labels.index("cat"))
    assert found["ok"]
    assert (found["model"], found["text"]) == ("vit", str(lxt.demo.photo()))
    assert (found["target"]["label"], found["target"]["index"]) == ("cat", 3)
    assert found["ledger"]["score"] == pytest.approx(float(made.ledger.score[0]), abs=1e-5)
    assert len(found["rows"]) == len(made.rows)


def test_what_does_not_fit_is_refused(refused):
    for command in (["plan", "--text"], ["audit"]):
        assert "for texts only" in refused(*command, "a", "-m", lxt.demo.vit(), "--pair", "b")
    assert "--text TEXT" in refused("plan", "--pair", "b")
    assert "is the target itself" in refused(
        "audit", lxt.demo.photo(), "-t", "cat", "--foil", "cat"
    )
    assert "no-such.png" in refused("audit", "no-such.png", "-m", lxt.demo.vit())
