"""``lxt-like explain``: what comes out for what goes in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import lxt_like as lxt
from lxt_like.cli import app
from lxt_like.render.terminal import separator, to_terminal

TEXT = "A gripping, funny film."


@pytest.fixture(scope="module")
def expected():
    return lxt.explain(lxt.demo.sentiment(), TEXT)


def rounded(ex) -> list[tuple[str, float]]:
    return [(word.text, round(word.relevance, 4)) for word in ex.words]


def test_a_text_as_an_argument(run, expected):
    result = run("explain", TEXT)
    assert result.exit_code == 0
    assert result.stderr == ""
    shown = result.stdout.splitlines()
    assert shown[:5] == to_terminal(expected, color=False).splitlines()[:5]
    assert shown[0].startswith(" positive   score +")
    assert "\x1b" not in result.stdout


def test_an_empty_text_is_no_folder(run, in_folder: Path):
    """As a path it would be the folder we are in."""
    result = run("explain", "")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "(empty text)" in result.stdout


def test_several_texts_are_shown_in_order_with_lines_between(run):
    result = run("explain", "Dull.", TEXT, "A bore.")
    assert result.stderr == ""
    blocks = result.stdout.split(separator(color=False))
    assert [block.splitlines()[3].strip() for block in blocks] == ["Dull.", TEXT, "A bore."]


@pytest.mark.parametrize("how", ["file", "stdin", "dash"])
def test_texts_by_line(run, in_folder: Path, how: str):
    data = b"Dull.\r\n\r\n   \nA bore.\nGreat!"
    Path("texts.txt").write_bytes(data)
    options = {"file": ["--file", "texts.txt"], "stdin": [], "dash": ["--file", "-"]}[how]
    result = run("explain", *options, "--json", input=None if how == "file" else data)
    assert result.exit_code == 0
    made = json.loads(result.stdout)["explanations"]
    assert [one["texts"] for one in made] == [["Dull."], ["A bore."], ["Great!"]]
    assert result.stderr == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_files_as_editors_write_them(run, in_folder: Path, encoding: str):
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    Path("texts.txt").write_bytes(mark + "Été\u2028 nul\nDull.\n".encode(encoding))
    made = json.loads(run("explain", "-f", "texts.txt", "--json").stdout)["explanations"]
    assert [one["texts"] for one in made] == [["Été\u2028 nul"], ["Dull."]]


def test_an_argument_is_not_split_at_its_line_ends(run):
    made = json.loads(run("explain", "Dull.\n\nA bore.", "--json").stdout)["explanation"]
    assert made["texts"] == ["Dull.\n\nA bore."]


def test_stdin_is_left_alone_where_there_is_a_text(run):
    made = json.loads(run("explain", TEXT, "--json", input="Dull.\n").stdout)["explanation"]
    assert made["texts"] == [TEXT]


@pytest.mark.parametrize("single", [True, False])
def test_json_loads_back(run, in_folder: Path, expected, single: bool):
    result = run("explain", TEXT, *([] if single else [TEXT]), "--json")
    Path("out.json").write_bytes(result.stdout_bytes)
    loaded = lxt.load("out.json")
    assert isinstance(loaded, lxt.TextExplanation) is single
    ex = loaded if single else loaded[1]
    assert rounded(ex) == rounded(expected)
    assert (ex.model, ex.composite, ex.target.label) == ("sentiment", "attnlrp", "positive")


def test_one_line_of_a_file_is_still_a_list(run):
    assert len(json.loads(run("explain", "--json", input="Dull.\n").stdout)["explanations"]) == 1


def test_every_format_into_files(run, in_folder: Path):
    names = [f"why{suffix}" for suffix in (".html", ".png", ".pdf", ".svg", ".tex", ".JSON")]
    options = [part for name in names for part in ("--out", name)]
    result = run("explain", TEXT, "Dull.", *options)
    assert result.exit_code == 0
    assert result.stderr == "".join(f"wrote {name}\n" for name in names)
    assert {path.name for path in in_folder.iterdir()} == set(names)
    starts = {"why.html": b"<!", "why.png": b"\x89PNG", "why.pdf": b"%PDF", "why.JSON": b"{"}
    for name, start in starts.items():
        assert Path(name).read_bytes().startswith(start)
    for name in ("why.html", "why.svg", "why.tex"):
        assert "gripping" in Path(name).read_text()
    assert [ex.text for ex in lxt.load("why.JSON")] == [TEXT, "Dull."]


def test_quiet_prints_nothing(run, in_folder: Path):
    result = run("explain", TEXT, "--quiet", "--out", "why.json")
    assert (result.exit_code, result.output) == (0, "")
    assert lxt.load("why.json").text == TEXT
    assert json.loads(run("explain", TEXT, "--quiet", "--json").stdout)["explanation"]


@pytest.mark.parametrize(
    ("options", "label", "index"),
    [
        ([], "positive", 1),
        (["--target", "negative"], "negative", 0),
        (["--target", "NEGATIVE"], "negative", 0),
        (["-t", "0"], "negative", 0),
        (["-t", "-1"], "positive", 1),
        (["-t", "positive", "--foil", "negative"], "positive rather than negative", None),
        (["--foil", "0"], "positive rather than negative", None),
    ],
)
def test_targets(run, options: list[str], label: str, index: int | None):
    target = json.loads(run("explain", TEXT, "--json", *options).stdout)["explanation"]["target"]
    assert (target["label"], target["index"]) == (label, index)


def test_a_contrast_is_the_difference_of_two_logits(run):
    scores = [
        json.loads(run("explain", TEXT, "--json", "--no-ledger", *options).stdout)["explanation"][
            "target"
        ]["score"]
        for options in (["-t", "1"], ["-t", "0"], ["-t", "1", "--foil", "0"])
    ]
    assert scores[0] - scores[1] == pytest.approx(scores[2], abs=1e-5)


def test_a_name_that_is_a_number_goes_before_the_place(run, strange_names: Path):
    def index(target: str) -> int:
        result = run("explain", "film", "-m", strange_names, "--target", target, "--json")
        return json.loads(result.stdout)["explanation"]["target"]["index"]

    assert [index("2"), index("1"), index("0"), index("-1")] == [0, 1, 0, 2]


def test_composites(run):
    shares = {}
    for name in ("attnlrp", "cp_lrp", "gradient", "epsilon"):
        made = json.loads(run("explain", TEXT, "--json", "-c", name).stdout)["explanation"]
        assert made["composite"] == name
        shares[name] = made["account"]["inputs"]
    assert len({round(share, 3) for share in shares.values()}) >= 3


def test_the_account_can_be_left_out(run):
    made = json.loads(run("explain", TEXT, "--json", "--no-ledger").stdout)["explanation"]
    assert made["account"] is None


def test_pairs(run):
    made = json.loads(run("explain", "Dull.", TEXT, "--pair", "A bore.", "--json").stdout)
    assert [one["texts"] for one in made["explanations"]] == [
        ["Dull.", "A bore."],
        [TEXT, "A bore."],
    ]


def test_a_long_text_is_cut_with_one_warning_or_read_in_windows(run):
    long = "A dull film. " * 100
    result = run("explain", long, long, "--quiet", "--json", "--no-ledger")
    assert result.exit_code == 0
    assert result.stderr == (
        "warning: a text is longer than the model takes and is not read to its end; "
        "--window TOKENS reads all of it\n"
    )
    result = run("explain", long, "--window", "128", "--stride", "16", "--json", "--no-ledger")
    assert result.stderr == ""
    made = json.loads(result.stdout)["explanation"]
    assert len(made["words"]) == 400
    assert "windows of 128 tokens" in made["notes"][0]


def test_batches_do_not_change_what_comes_out(run, in_folder: Path):
    Path("texts.txt").write_text("\n".join([TEXT, "Dull.", "A bore.", "Great!", "So-so."]))
    made = []
    for size in (1, 2, 8):
        result = run("explain", "-f", "texts.txt", "--json", "--batch-size", size)
        Path("out.json").write_bytes(result.stdout_bytes)
        made.append([rounded(ex) for ex in lxt.load("out.json")])
    assert made[0] == made[1] == made[2]


def test_models_with_odd_heads(run, unnamed: Path, regression: Path):
    result = run("explain", "film", "--model", unnamed)
    assert result.exit_code == 0
    assert "note: The model names no classes" in result.stdout
    result = run("explain", "film", "--model", regression)
    assert result.stdout.startswith(" score   score ")
    assert "probability" not in result.stdout


def test_texts_without_words(run):
    result = run("explain", "", "  ", "你好")
    assert result.exit_code == 0
    assert result.stdout.count("note: No words: ") == 2
    assert "unknown tokens only" in " ".join(result.stdout.split())


def test_colour_where_it_is_wanted(run):
    plain = run("explain", "Dull.").stdout
    assert "\x1b[" in run("explain", "Dull.", env={"FORCE_COLOR": "1"}).stdout
    assert run("explain", "Dull.", env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout == plain


def test_nothing_in_a_text_acts_on_the_terminal(run, strange_names: Path):
    result = run("explain", "\x1b[2Jfilm\x07 \u202e", "-m", strange_names, "-t", "-1")
    assert result.exit_code == 0
    assert not {"\x1b", "\x07", "\u202e"} & set(result.stdout)


def test_the_notices_of_the_libraries_are_for_the_curious(run, unnamed: Path):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    assert run("explain", "film", "--model", unnamed).stderr == ""
    assert run("explain", "film", "--model", unnamed, "--verbose").exit_code == 0
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_narrow_code_page_is_no_error():
    runner = CliRunner(charset="cp1252")
    result = runner.invoke(app, ["explain", "Été 😀"])
    assert (result.exit_code, result.stderr) == (0, "")
    shown = result.stdout_bytes.decode("cp1252")
    assert "Été ?" in shown
    assert "=====" in shown
    result = runner.invoke(app, ["explain", "Été 😀", "--json"])
    assert json.loads(result.stdout_bytes.decode("utf-8"))["explanation"]["texts"] == ["Été 😀"]
