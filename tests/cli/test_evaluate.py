from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import lxt_like as lxt

from ..evaluate import tiny
from .conftest import Run, classifier

TEXTS = "text\tlabel\na good film\tb\na bad film\ta\nthe film is bad\ta\n"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.tsv"
    path.write_text(TEXTS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tmp_path_factory.mktemp("model"))


def test_a_report(run: Run, model: Path, texts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("evaluate", model, texts, "--out", out, "--methods", "random,attnlrp",
               "--operators", "zero", "--steps", 3, "--label-column", "label")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "removal by zero" in done.stdout
    assert "attnlrp" in done.stdout
    assert done.stderr == f"wrote {out}/report.html\n"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["methods"] == ["random", "attnlrp"]
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    quiet = run("evaluate", model, texts, "--out", out, "--methods", "random,attnlrp",
                "--operators", "zero", "--steps", 3, "--label-column", "label", "-q")  # fmt: skip
    assert (quiet.exit_code, quiet.stdout) == (0, "")


def test_images(run: Run, tmp_path: Path) -> None:
    folder = tiny.pictures(tmp_path / "pictures", 4)
    vit = tiny.vit(tmp_path / "vit")
    done = run("evaluate", vit, folder, "-o", tmp_path / "out", "--methods", "attnlrp",
               "--methods", "cp_lrp", "--steps", 2, "--samples", 2)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "2 samples" in done.stdout
    assert "removal by drop" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "magic"], "unknown method 'magic'"),
        (["--operators", "blur"], "no removal operator 'blur'"),
        (["--column", "words"], "no column 'words' in texts.tsv"),
        (["--target", "wonderful"], "wonderful"),
        (["--samples", "0"], "greater than or equal to 1"),
    ],
)
def test_mistakes(
    refused: Callable[..., str],
    model: Path,
    texts: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    assert message in refused("evaluate", model, texts, "-o", tmp_path / "out", *arguments)


def test_mistakes_in_data_and_folders(
    refused: Callable[..., str], run: Run, model: Path, texts: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert "no images in" in refused("evaluate", model, tmp_path / "empty")
    assert "no such file" in refused("evaluate", model, tmp_path / "x.tsv")
    out = tmp_path / "out"
    options = ["-o", out, "--methods", "attnlrp", "--steps", "2"]
    assert run("evaluate", model, texts, *options).exit_code == 0
    said = refused("evaluate", model, texts, *options, "--seed", 1)
    assert "other settings (methods, seed)" in said
    assert "another folder" in said


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_an_interrupt_says_how_to_go_on(model: Path, tmp_path: Path) -> None:
    texts = tmp_path / "many.txt"
    texts.write_text("a good film\n" * 5000)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "lxt_like", "evaluate", str(model), str(texts), "-o",
               str(out), "--methods", "attnlrp", "--steps", "3"]  # fmt: skip
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    root = str(Path(lxt.__file__).parents[1])
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=heed,
        env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    end = time.monotonic() + 120
    while not list(out.glob("parts/part-*")) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGINT)
    kept, interrupted = err.splitlines()
    assert kept.endswith(f"are done and kept in {out}; the same command goes on from there")
    assert interrupted == "interrupted"
    assert list(out.glob("parts/part-*"))
