from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from lxt_like.cli import app

from ..explain import makers

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORFGBG", "COLORTERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def run() -> Run:
    """The program in this process: ``run("explain", "a", input=b"...")``."""

    def invoke(*arguments: object, **options: Any) -> Result:
        return CliRunner().invoke(app, [str(a) for a in arguments], **options)

    return invoke


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """A user's mistake: exit code 2, nothing on stdout, one line on stderr, which is returned."""

    def check(*arguments: object, **options: Any) -> str:
        result = run(*arguments, **options)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert result.stderr.endswith("\n")
        return result.stderr.removeprefix("error: ").removesuffix("\n")

    return check


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def classifier(folder: Path, **config: Any) -> Path:
    """A tiny random BERT and its tokenizer as a model folder."""
    tokenizer = makers.wordpiece()
    makers.bert(tokenizer, **config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def unnamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes that nobody named."""
    return classifier(tmp_path_factory.mktemp("unnamed"), labels=3)


@pytest.fixture(scope="session")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One value."""
    return classifier(tmp_path_factory.mktemp("regression"), labels=1)


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NaN in its weights."""
    folder = tmp_path_factory.mktemp("broken")
    tokenizer = makers.wordpiece()
    model = makers.bert(tokenizer)
    with torch.no_grad():
        model.classifier.weight[0, 0] = float("nan")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def strange_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes whose names are numbers, and not those of their places; one acts on terminals."""
    names = {0: "2", 1: "1", 2: "\x1b[31mred"}
    return classifier(
        tmp_path_factory.mktemp("strange"),
        labels=3,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
