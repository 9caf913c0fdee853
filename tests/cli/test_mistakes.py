"""Every mistake is one line that says what to do; what fails by itself does not fail the rest."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertForSequenceClassification
from transformers.models.bert.modeling_bert import BertPooler

import lxt_like as lxt
from lxt_like import cli
from lxt_like.cli import texts
from lxt_like.composites import PRESETS
from lxt_like.errors import InputError, NumericalError, UnruledError

from ..explain import makers

HELP = "see lxt-like explain --help"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explan"], "no such command 'explan'. Did you mean 'explain'"),
        (["A good film."], "a text is explained by: lxt-like explain TEXT; see lxt-like --help"),
        (["explain", "a", "--nope"], f"no such option: --nope.*{HELP}"),
        (["explain", "-1 star"], "a text that begins with a dash goes behind --"),
        (["explain", "a", "--model"], "option '--model' requires an argument"),
        (["explain", "a", "--window", "x"], f"invalid value for '--window'.*{HELP}"),
        (["explain", "a", "--window", "0"], "invalid value for '--window'"),
        (["explain", "a", "--stride", "-1"], "invalid value for '--stride'"),
        (["explain", "a", "--batch-size", "0"], "invalid value for '--batch-size'"),
        (["plan", "a"], "unexpected extra argument"),
        (["audit", "a", "b"], "unexpected extra argument"),
        (["explain", "a", "--stride", "4"], "needs --window"),
        (["explain", "a", "--quiet"], "add --out FILE or --json"),
        (["explain", "a", "--file", "b"], "expected texts or --file, got both: 'a' and 'b'"),
        (["explain", "--file", "none.txt"], "no such file: 'none.txt'"),
        (["explain", "--file", "."], "expected a file of texts, got the folder '.'"),
        (["explain", "a", "--out", "why.docx"], r"'\.docx'; use one of \.html, \.png, \.pdf"),
        (["explain", "a", "--out", "no/why.html"], "'why.html': there is no folder"),
        (["explain", "a", "--out", "a" * 300 + ".html"], "File name too long"),
        (["plan", "--out", "plan.html"], r"use one of \.txt, \.json"),
        (["plan", "--out", "no/plan.txt"], "there is no folder"),
        (["explain", "a", "-c", "attnlpr"], "unknown composite 'attnlpr'; the presets are attnlrp"),
        (["plan", "-c", "none"], "unknown composite 'none'"),
        (["audit", "-c", "none"], "unknown composite 'none'"),
        (["explain", "a", "-m", "./none"], r"no folder '\./none'"),
        (["explain", "a", "-m", "."], r"no config\.json in '\.'"),
        (["plan", "-m", "."], r"no config\.json in '\.'"),
        (["audit", "-m", "."], r"no config\.json in '\.'"),
        (["explain", "a", "-t", "great"], "unknown class 'great'; .* 'negative', 'positive'"),
        (["audit", "-t", "great"], "unknown class 'great'; .* 'negative', 'positive'"),
        (["explain", "a", "-t", "2"], "class index 2 is out of range: the model has 2 classes"),
        (["explain", "a", "--foil", "great"], "unknown class 'great'"),
        (["explain", "a", "-t", "1", "--foil", "positive"], "the foil is the target itself"),
        (["explain", "Great!", "--foil", "1"], "the prediction is the foil 'positive' itself"),
        (["explain", "a", "--window", "257"], "window of at most 256 tokens"),
        (["explain", "a " * 99, "--window", "2"], "window with room for the text"),
    ],
)
def test_one_line_and_exit_code_2(refused, in_folder: Path, arguments: list[str], said: str):
    assert re.search(said, refused(*arguments))
    assert list(in_folder.iterdir()) == []


def test_no_text_at_all(refused, monkeypatch: pytest.MonkeyPatch):
    example = re.escape('lxt-like explain "A gripping, funny film."')
    assert re.search(f"no text to explain in stdin; try: {example}", refused("explain"))
    monkeypatch.setattr(texts, "is_terminal", lambda stream: True)
    assert re.search(f"no text to explain; try: {example}", refused("explain"))


def test_bytes_that_are_no_text(refused, in_folder: Path):
    Path("texts.txt").write_bytes(b"fine\ncaf\xe9\n")
    said = "texts.txt is not UTF-8: byte 0xe9 in line 2, at its byte 4; save it as UTF-8"
    assert said in refused("explain", "--file", "texts.txt")
    said = refused("explain", input=b"fine\n\ncaf\xe9\n")
    assert "stdin is not UTF-8: byte 0xe9 in line 3, at its byte 4" in said
    assert "not valid Unicode at character 3" in refused("explain", "caf\udce9")


def test_nothing_is_loaded_before_the_outputs_are_known_to_be_good(
    refused, in_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(BertForSequenceClassification, "from_pretrained", refuse)
    refused("explain", "a", "--out", "ok.html", "--out", "no/why.html")
    refused("explain", "a", "-c", "none")
    assert list(in_folder.iterdir()) == []


def test_a_folder_without_a_tokenizer_or_a_head(refused, in_folder: Path):
    model = makers.bert(makers.wordpiece())
    model.save_pretrained("no-tokenizer")
    assert "no tokenizer files in 'no-tokenizer'" in refused("explain", "a", "-m", "no-tokenizer")
    model.bert.save_pretrained("no-head")
    assert "it has no sequence classification head" in refused("plan", "-m", "no-head")


def test_weights_that_are_not_finite(refused, run, broken: Path):
    said = refused("explain", "film", "--model", broken)
    assert "the parameter classifier.weight holds NaN or infinity" in said
    result = run("explain", "--model", broken, input="\n".join("abcdef"))
    lines = result.stderr.splitlines()
    assert (result.exit_code, result.stdout, len(lines)) == (1, "", 4)
    assert lines[0].startswith("error: stdin, line 1: the score is not finite")
    assert lines[3] == "3 of 6 texts could not be explained; the other 3 were not tried"


def test_one_bad_text_does_not_stop_the_others(run, in_folder: Path):
    Path("texts.txt").write_text("Great!\n\nDull.\nA gripping film.\n")
    result = run("explain", "--file", "texts.txt", "--foil", "negative", "--out", "why.json")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: texts.txt, line 3: the prediction is the foil 'negative' itself, so nothing sets "
        "them apart: name a target or another foil",
        "1 of 3 texts could not be explained",
        "wrote why.json (2 of 3 texts)",
    ]
    assert [ex.text for ex in lxt.load("why.json")] == ["Great!", "A gripping film."]
    assert result.stdout.count("positive rather than negative") == 2


class Failing:
    """``lxt.explain`` that fails at some texts, and counts its calls."""

    def __init__(self, errors: dict[str, BaseException]) -> None:
        self.errors = errors
        self.calls: list[list[str]] = []

    def __call__(self, model: Any, text: list[str], **options: Any) -> Any:
        self.calls.append(text)
        for one in text:
            if one in self.errors:
                raise self.errors[one]
        return lxt.explain(model, text, **options)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    def install(**errors: BaseException) -> Failing:
        made = Failing(errors)
        # the command imports it when it runs
        monkeypatch.setattr(import_module("lxt_like.explain"), "explain", made)
        return made

    return install


def test_an_unforeseen_error(run, failing):
    failing(a=ZeroDivisionError("by\nzero"))
    result = run("explain", "a")
    assert (result.exit_code, result.stdout) == (1, "")
    said = "error: unexpected ZeroDivisionError: by zero (run with --debug for the traceback)\n"
    assert result.stderr == said
    result = run("explain", "a", "--debug")
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert result.stderr.endswith(said)


def test_debug_shows_where_a_mistake_was_found(run):
    result = run("explain", "a", "-c", "none", "--debug")
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert "error: unknown composite 'none'" in result.stderr.splitlines()[-1]


def test_an_unforeseen_error_among_many(run, failing):
    failing(b=ZeroDivisionError())
    result = run("explain", "a", "b", "c", "--no-ledger")
    assert result.exit_code == 1
    assert "error: text 2: unexpected ZeroDivisionError (run" in result.stderr
    assert result.stdout.count("words ") == 4  # two accounts, two lists of the strongest
    result = run("explain", "a", "b", "c", "--no-ledger", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_a_batch_that_fails_is_taken_apart(run, failing):
    made = failing(c=InputError("no"))
    result = run("explain", *"abcdef", "--batch-size", "4", "--quiet", "--json")
    assert made.calls == [[*"abcd"], ["a"], ["b"], ["c"], ["d"], [*"ef"]]
    assert (result.exit_code, result.stderr.splitlines()[0]) == (1, "error: text 3: no")
    assert len(json.loads(result.stdout)["explanations"]) == 5


def test_what_is_no_texts_fault_stops_at_once(refused, failing):
    made = failing(a=UnruledError("no rule for f"))
    assert refused("explain", *"abc") == "no rule for f"
    assert made.calls == [["a", "b", "c"], ["a"]]  # what went well before it would not be lost


def test_what_was_computed_is_not_lost(run, failing, in_folder: Path):
    failing(c=KeyboardInterrupt())
    result = run("explain", *"abc", "--out", "why.json", "--batch-size", "1")
    assert result.exit_code == 130
    assert result.stderr == "wrote why.json (2 of 3 texts)\ninterrupted\n"
    assert len(lxt.load("why.json")) == 2
    failing(c=UnruledError("no rule for f"))
    result = run("explain", *"abc", "--json")
    assert result.exit_code == 2
    assert len(json.loads(result.stdout)["explanations"]) == 2


def test_one_file_that_cannot_be_written_does_not_stop_the_others(
    run, in_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(import_module("lxt_like.render.save"), "to_latex", fail)
    result = run("explain", "a", "--out", "why.tex", "--out", "why.json", "--quiet")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: unexpected ZeroDivisionError (")
    assert [path.name for path in in_folder.iterdir()] == ["why.json"]


class _Odd(torch.autograd.Function):
    """x^2: an operation without a rule, whose gradient makes twice the relevance of it."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return 2 * x * g


def test_an_operation_without_a_rule(run, refused, unnamed: Path, monkeypatch: pytest.MonkeyPatch):
    forward = BertPooler.forward

    def odd(self: Any, hidden_states: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = _Odd.apply(forward(self, hidden_states))
        return made

    monkeypatch.setattr(BertPooler, "forward", odd)
    assert "_Odd" in refused("explain", "a", "film", "--model", unnamed)
    result = run("explain", "a", "film", "--model", unnamed, "--no-strict")
    assert result.exit_code == 0, result.stderr
    assert re.fullmatch("warning: .*_Odd.*\n", result.stderr)  # once, not for each text
    assert result.stdout.count("_Odd") == 0
    result = run("audit", "film", "--model", unnamed)
    assert result.exit_code == 1
    assert "_Odd" in result.stdout
    assert result.stdout.endswith("\nNOT ok: the account does not close\n")


def test_a_text_whose_numbers_cannot_be_shown(run, refused, monkeypatch: pytest.MonkeyPatch):
    def fail(data: Any, *_: Any) -> str:
        if data.text == "b":
            raise NumericalError("the score is inf")
        return "shown\n"

    monkeypatch.setattr(import_module("lxt_like.render.terminal"), "to_terminal", fail)
    result = run("explain", *"abc", "--no-ledger")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: text 2: the score is inf\n1 of 3 texts")
    assert result.stdout.count("shown") == 2
    assert refused("explain", "b") == "the score is inf"


def test_help_names_presets_that_exist(run):
    shown = " ".join(run("explain", "--help").stdout.replace("│", " ").split())
    listed = re.search(r"such as (.*?)\.", shown)
    assert listed is not None
    assert set(re.findall(r"\w+", listed[1])) - {"or"} <= set(PRESETS)


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help(run, arguments: list[str]):
    result = run(*arguments)
    assert result.exit_code == 0
    assert {"explain", "plan", "audit"} <= set(result.stdout.split())
    for name in ("explain", "plan", "audit"):
        assert f"lxt-like {name}" in run(name, "--help").stdout.replace("root", "lxt-like")


def test_version(run):
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"lxt-like {lxt.__version__}\n")


def test_main_takes_arguments(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_code:
        cli.main(["explain", "a", "-c", "none"])
    assert exit_code.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: unknown composite")
