"""The documentation is true: its code runs, its links lead somewhere, its tables are complete."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lxt_like.composites import PRESETS
from lxt_like.intercept import ENTRIES
from lxt_like.rules import CAUSES

ROOT = Path(__file__).resolve().parents[1]
VIT = (ROOT / "lxt_like" / "demo" / "vit" / "config.json").is_file()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^(<!-- example: \S+ -->\n)?```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language; printed examples that a script makes are left out."""
    text = page.read_text(encoding="utf-8")
    return [m[3] for m in FENCE.finditer(text) if m[2] == language and not m[1]]


def first_column(page: Path, heading: str) -> list[str]:
    """The names in backticks that begin the rows of the table below ``heading``."""
    text = page.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", text, re.MULTILINE)


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working directory of its own; no handler or default outlives the page."""
    monkeypatch.chdir(tmp_path)
    entries, dtype = dict(ENTRIES), torch.get_default_dtype()
    yield
    ENTRIES.clear()
    ENTRIES.update(entries)
    torch.set_default_dtype(dtype)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_code_runs_and_prints_what_the_page_shows(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if page.name == "images.md" and not VIT:
        pytest.skip("the bundled vision transformer is not there: scripts/train_vit.py makes it")
    names: dict[str, Any] = {"__name__": page.stem}
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        if match[2] == "python" and (VIT or "demo.vit" not in match[3]):
            line = text.count("\n", 0, match.start(3))  # so that a traceback names the page's line
            exec(compile("\n" * line + match[3], str(page), "exec"), names)
    printed = " ".join(capsys.readouterr().out.split())
    for shown in blocks(page, "text"):
        assert " ".join(shown.split()) in printed


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_local_links_and_images_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        path = target.split("#")[0]
        if path and not path.startswith("https://"):
            assert (page.parent / path).is_file(), target


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_shell_commands_exist(page: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for block in blocks(page, "bash"):
        for line in filter(None, block.splitlines()):
            command, *args = shlex.split(line, comments=True)
            if command == "python":
                command = args[0]
            known = command == "pip" or command in project["project"]["scripts"]
            assert known or (ROOT / command).is_file(), line


def test_the_readme_begins_with_the_two_commands() -> None:
    first = blocks(ROOT / "README.md", "bash")[0]
    assert [line.split()[0] for line in first.splitlines()] == ["scripts/demo", "scripts/test"]


def test_tables_are_complete() -> None:
    assert first_column(ROOT / "docs" / "ledger.md", "Causes") == list(CAUSES)
    assert sorted(first_column(ROOT / "README.md", "Choosing a composite")) == sorted(PRESETS)


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "why.png").stat().st_size <= 150_000


@pytest.mark.parametrize("script", ["make_rules_doc.py", "make_doc_examples.py"])
def test_what_scripts_make_is_up_to_date(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--check"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "scripts" / script), run_name="__main__")
    assert stopped.value.code == 0, capsys.readouterr().out


def test_examples_are_compared_by_their_numbers() -> None:
    same = runpy.run_path(str(ROOT / "scripts" / "make_doc_examples.py"))["same"]
    shown = " words  +0.836   ━━━━╸\n score +2.365\n gap 5.1e-07, unruled 2.0e-06\n"
    assert same(shown, " words  +0.8361  ━━━╸\n score +2.365\n gap 1.0e-09, unruled 0.0e+00\n")
    assert not same(shown, shown.replace("0.836", "0.846"))
    assert not same(shown, shown.replace("+0.836", "-0.836"))
    assert not same(shown, shown.replace("words", "word"))


def test_recipes_say_how_to_run_them() -> None:
    recipes = sorted((ROOT / "recipes").glob("*.py"))
    assert recipes
    for recipe in recipes:
        assert f"python recipes/{recipe.name}" in recipe.read_text(encoding="utf-8")
