"""The other kinds of text models on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertForMaskedLM, BertForQuestionAnswering, BertForTokenClassification

import lxt_like as lxt

from ..explain import makers

TAGS = {"id2label": {0: "O", 1: "PER", 2: "LOC"}, "label2id": {"O": 0, "PER": 1, "LOC": 2}}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny random model of each kind, as a folder."""
    words, pieces, bytes_ = makers.wordpiece(), makers.unigram(), makers.byte_bpe()
    talks = makers.byte_bpe()
    talks.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    made = {
        "filler": (makers.encoder(BertForMaskedLM, words), words),
        "tagger": (makers.encoder(BertForTokenClassification, words, **TAGS), words),
        "answerer": (makers.encoder(BertForQuestionAnswering, words), words),
        "writer": (makers.gpt2(bytes_), bytes_),
        "translator": (makers.t5(pieces), pieces),
        "talker": (makers.gpt2(talks, positions=256), talks),
    }
    folders = {}
    for name, (model, tokenizer) in made.items():
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        folders[name] = str(folder)
    return folders


CASES: list[tuple[str, list[str], Any, str]] = [
    ("filler", ["A [MASK] film", "--target", "good"], "good", '"good"'),
    (
        "filler",
        ["A [MASK] film", "--target", "good", "--foil", "dull"],
        lxt.Contrast("good", "dull"),
        '"good" rather than "dull"',
    ),
    ("tagger", ["the good film", "--target", "film=LOC"], lxt.targets.Token("film", "LOC"), ""),
    ("tagger", ["the good film", "--target", "film="], lxt.targets.Token("film"), ""),
    ("tagger", ["the good film", "--target", "PER"], "PER", ""),
    (
        "tagger",
        ["the good film", "--target", "film=PER", "--foil", "O"],
        lxt.targets.Token("film", lxt.Contrast("PER", "O")),
        'PER rather than O for "film"',
    ),
    ("answerer", ["not dull?", "--pair", "the good film"], None, ""),
    ("answerer", ["not dull?", "--pair", "the good film", "-t", "good"], "good", '"good"'),
    ("writer", ["A gripping, funny", "--target", " film"], " film", '" film"'),
    ("translator", ["A film", "--prefix", "a good", "--target", "film"], "film", '" film"'),
]


@pytest.mark.parametrize(("name", "arguments", "target", "label"), CASES)
def test_explain(
    run: Any,
    folders: dict[str, str],
    in_folder: Path,
    name: str,
    arguments: list[str],
    target: Any,
    label: str,
) -> None:
    result = run("explain", "-m", folders[name], *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    Path("why.json").write_text(result.stdout)
    given = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    ex = lxt.explain(
        folders[name],
        arguments[0],
        pair=given.get("--pair"),
        prefix=given.get("--prefix"),
        target=target,
    )
    assert lxt.load("why.json") == ex
    assert label in ("", ex.target.label)


def test_a_chat(run: Any, folders: dict[str, str], in_folder: Path) -> None:
    asked = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "A film?"}]
    arguments = ["-m", folders["talker"], "A film?", "--chat", "--system", "Be kind.", "--json"]
    for more, wanted in (
        ([], lxt.explain(folders["talker"], asked)),
        (["--generate", 2], lxt.explain_generation(folders["talker"], asked, max_new_tokens=2)),
    ):
        result = run("explain", *arguments, *more)
        assert result.exit_code == 0, result.stderr
        Path("why.json").write_text(result.stdout)
        assert lxt.load("why.json") == wanted


def test_many_texts_and_a_file(run: Any, folders: dict[str, str], in_folder: Path) -> None:
    result = run("explain", "-m", folders["writer"], "A film", "I want", "--out", "why.html")
    assert result.exit_code == 0
    assert result.stdout.count("probability") == 2
    assert Path("why.html").exists()


@pytest.mark.parametrize("name", ["writer", "translator"])
def test_whole_outputs(run: Any, folders: dict[str, str], in_folder: Path, name: str) -> None:
    files = ["why.html", "why.png", "why.json"]
    outs = [part for file in files for part in ("--out", file)]
    result = run("explain", "-m", folders[name], "--generate", 3, "A film", *outs)
    assert result.exit_code == 0, result.stderr
    ex = lxt.explain_generation(folders[name], "A film", max_new_tokens=3)
    assert lxt.load("why.json") == ex
    assert result.stdout == str(ex)
    assert all(Path(file).stat().st_size > 1000 for file in files)

    result = run("explain", "-m", folders[name], "--output", " a film", "A film", "I", "--json")
    assert result.exit_code == 0, result.stderr
    Path("why.json").write_text(result.stdout)
    wanted = [lxt.explain_generation(folders[name], text, " a film") for text in ("A film", "I")]
    assert lxt.load("why.json") == wanted


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("writer", ["a", "--generate", 3, "--output", "x"], "leave one out"),
        ("writer", ["a", "--generate", 3, "-t", "x", "--window", 4], "--target, --window: not for"),
        ("writer", ["a", "--generate", 0], "greater than or equal to 1"),
        ("writer", ["a", "--generate", 99], "expected max_new_tokens of at most 64"),
        ("writer", ["a", "--output", ""], "got '': --generate N lets the model write"),
        ("writer", ["a", "--output", "x", "-o", "why.tex"], ".html, .png, .pdf, .svg, .json"),
        ("writer", ["a", "--output", "x", "--quiet"], "--quiet prints nothing"),
        ("writer", ["a", "--system", "x"], "--system is the first message of a chat: add --chat"),
        ("writer", ["a", "--chat"], "has no chat template"),
        ("tagger", ["a", "--chat"], "got a chat, since this is a model for token"),
        ("tagger", ["a", "--generate", 3], "expected a model that writes text"),
        ("filler", ["A film"], "a text with [MASK]"),
        ("filler", ["A [MASK]", "-t", "a film"], "a target of one token"),
        ("tagger", ["a film", "-t", "ORG"], "the model's classes are 'O', 'PER', 'LOC'"),
        ("tagger", ["a film", "-t", "dull=PER"], "got 'dull', which it does not hold"),
        ("tagger", ["a film", "-t", "PER", "--foil", "PER"], "the foil is the target itself"),
        ("answerer", ["who?"], "expected a question and a context"),
        ("answerer", ["who?", "--pair", "a film", "-t", "nobody"], "stands in the context"),
        ("writer", ["a film", "--prefix", "x"], "no prefix"),
        ("writer", ["a film", "--window", "4"], "no window"),
    ],
)
def test_mistakes(
    refused: Any, folders: dict[str, str], name: str, arguments: list[Any], said: str
) -> None:
    assert said in refused("explain", "-m", folders[name], *arguments)


@pytest.mark.parametrize("name", ["tagger", "writer", "translator"])
def test_audit_and_plan(run: Any, folders: dict[str, str], name: str) -> None:
    audited = run("audit", "a good film", "-m", folders[name], "--json")
    assert audited.exit_code == 0, audited.stderr
    made = json.loads(audited.stdout)
    ex = lxt.explain(folders[name], "a good film")
    assert made["target"]["label"] == ex.target.label
    assert made["target"]["score"] == pytest.approx(ex.target.score, abs=1e-5)
    assert made["ok"]
    planned = run("plan", "-m", folders[name], "--text", "a good film")
    assert planned.exit_code == 0
    assert "softmax" in planned.stdout or "attention" in planned.stdout
