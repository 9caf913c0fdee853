"""The recipes run as their docstrings say, offline, and print numbers that agree."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
)

import lxt_like as lxt

from ..evaluate import tiny

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def run(monkeypatch: pytest.MonkeyPatch, name: str, *args: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *args])
    runpy.run_path(str(RECIPES / name), run_name="__main__")


def test_sentiment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reviews = tmp_path / "reviews.txt"
    reviews.write_text("A dull film.\n\nA terrific film.\n", encoding="utf-8")
    page = tmp_path / "reviews.json"
    run(monkeypatch, "sentiment.py", "--file", str(reviews), "--target", "positive", "--out",
        str(page), "Funny.")  # fmt: skip
    out = capsys.readouterr().out
    loaded = lxt.load(page)
    assert isinstance(loaded, list)
    assert [ex.text for ex in loaded] == ["Funny.", "A dull film.", "A terrific film."]
    film = sum(word.relevance for ex in loaded for word in ex.words if word.text == "film")
    found = re.search(r"(\S+)  film \(2x, for positive\)", out)
    assert found is not None
    assert float(found[1]) == pytest.approx(film, abs=6e-4)


def test_sentiment_of_the_samples_as_a_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(monkeypatch, "sentiment.py", "--out", str(tmp_path / "reviews.html"))
    html = (tmp_path / "reviews.html").read_text(encoding="utf-8")
    assert "tedious" in html
    assert f"strongest words of {len(lxt.demo.reviews())} reviews" in capsys.readouterr().out


def test_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"^error: unknown class 'good'.*'negative', 'positive'"):
        run(monkeypatch, "sentiment.py", "--target", "good", "Dull.")
    with pytest.raises(SystemExit, match=r"^error: unknown composite 'lrp'"):
        run(monkeypatch, "patch_checkpoint.py", "--composite", "lrp")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama with the bundled tokenizer, as a checkpoint folder."""
    folder = tmp_path_factory.mktemp("llama")
    tokenizer = AutoTokenizer.from_pretrained(lxt.demo.sentiment())
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
def test_patch_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    llama: Path,
    composite: str,
) -> None:
    run(monkeypatch, "patch_checkpoint.py", "--model", str(llama), "--composite", composite)
    out = capsys.readouterr().out
    # the hidden states by hand, and the same layers by layers=
    by_hand = [float(v) for v in re.findall(r"^  layer \d+ +(\S+)$", out, re.MULTILINE)]
    assert len(by_hand) == 3
    rows = re.findall(r"^  \S+ +([+-]\d+\.\d+)$", out.split("layers=")[1], re.MULTILINE)
    assert sum(map(float, rows)) == pytest.approx(by_hand[1], abs=1e-3)
    assert "unruled" in out
    assert re.search(r"self_attn head [01]", out)


def test_patch_checkpoint_of_the_bundled_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "patch_checkpoint.py")
    out = capsys.readouterr().out
    model = AutoModelForSequenceClassification.from_pretrained(lxt.demo.sentiment()).eval()
    tokenizer = AutoTokenizer.from_pretrained(lxt.demo.sentiment())
    text = "A gripping, funny film with a terrific cast."
    with torch.no_grad():
        logit = float(model(**tokenizer(text, return_tensors="pt")).logits.max())
    score = float(re.findall(r"^score +(\S+)", out, re.MULTILINE)[0])
    assert score == pytest.approx(logit, abs=1e-4)
    assert len(re.findall(r"^  layer \d+ ", out, re.MULTILINE)) == model.config.num_hidden_layers


def test_digits_mistakes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    run(monkeypatch, "digits_mistakes.py", "--out", str(tmp_path), "--count", "3")
    out = capsys.readouterr().out
    read = re.search(r"(\d+) of 600 test digits read right", out)
    assert read is not None
    assert int(read[1]) > 570
    # the account of every mistake closes
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line[:1].islower()}
    for gap, score in zip(rows["gap"], rows["score"], strict=True):
        assert abs(float(gap)) < 1e-4 * abs(float(score))
    for name in ("mistakes.png", "trace.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_tabular_diagnosis(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    path = tmp_path / "why.png"
    run(monkeypatch, "tabular_diagnosis.py", "--out", str(path))
    out = capsys.readouterr().out
    right = re.search(r"([\d.]+)% of 150", out)
    assert right is not None
    assert float(right[1]) > 93
    rest = [line for line in out.splitlines() if line.startswith("  ")]
    listed = [float(line.split()[-1]) for line in rest[:30]]
    total = re.search(r"sum\s+([+-][\d.]+)\s+\(score ([+-][\d.]+)\)", out)
    assert total is not None
    kept = [float(line.split()[-1]) for line in rest if line.startswith(("  bias", "  epsilon"))]
    assert sum(listed) + sum(kept) == pytest.approx(float(total[2]), abs=2e-3)
    assert float(total[1]) == pytest.approx(float(total[2]), abs=2e-4)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_evaluate_vit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = tiny.vit(tmp_path / "vit")
    run(monkeypatch, "evaluate_vit.py", "--model", str(model), "--samples", "9", "--steps", "3",
        "--tune", "--out", str(tmp_path / "report"))  # fmt: skip
    out = capsys.readouterr().out
    assert "SRG on 5 samples" in out
    assert "removal by mean" in out
    assert "removal by drop" in out
    summary = json.loads((tmp_path / "report" / "summary.json").read_text(encoding="utf-8"))
    worst = re.search(r"least faithful: sample (\d+), SRG (-?[\d.]+)", out)
    assert worst is not None
    assert summary["predictions"]["samples"] == 9
    shown = re.search(r"([+-][\d.]+).*rollout, mean", out)
    assert shown is not None
    means = {r["method"]: r["mean"] for r in summary["table"] if r["operator"] == "mean"}
    assert float(shown[1]) == pytest.approx(means["attnlrp"] - means["rollout"], abs=6e-4)
