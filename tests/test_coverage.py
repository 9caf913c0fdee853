"""A sample of the coverage matrix: one model of each mechanism; and that its checks can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lxt_like.rules import activation
from scripts import coverage
from tests.models import examine, zoo

SAMPLE = {
    "sequence-classification": "albert big_bird canine funnel gpt_oss longformer reformer",
    "token-classification": "deberta-v2 mobilebert squeezebert",
    "question-answering": "fnet lxmert xlnet",
    "masked-lm": "deberta ibert nystromformer perceiver yoso",
    "causal-lm": "bamba bitnet bloom falcon_mamba gemma2 lfm2 mamba mamba2 minimax olmoe "
    "qwen3_next recurrent_gemma rwkv xlstm",
    "seq2seq-lm": "bart led t5",
    "image-classification": "convnextv2 efficientnet levit poolformer swin vit",
    "audio-classification": "sew-d wav2vec2",
    "image-text": "clip siglip",
    "image-text-to-text": "llava",
    "torch": "",
}
ROWS = [(task, t) for task, types in SAMPLE.items() for t in types.split()]
ROWS += [("torch", t) for t in examine.types_of("torch")]


@pytest.mark.parametrize(("task", "model_type"), ROWS)
def test_row(task: str, model_type: str) -> None:
    for row in examine.examine(model_type, task):
        assert row.result == examine.GOOD, row


def test_the_page_is_of_this_matrix() -> None:
    """Every type that transformers lists has its two rows in docs/coverage.json."""
    rows = json.loads(Path("docs/coverage.json").read_text())
    found = {(r["task"], r["type"], r["composite"]) for r in rows}
    pairs = [(task, t) for task in zoo.TASKS for t in zoo.TASKS[task]]
    wanted = {(*pair, c) for pair in pairs for c in coverage.COMPOSITES}
    assert wanted <= found
    good = [r for r in rows if r["result"] == examine.GOOD]
    assert len(good) > 0.95 * len(rows)


SOFT = {"ovis2"}
"""Where a softmax is no attention: soft embeddings."""


def test_cp_lrp_holds_every_attention() -> None:
    rows = json.loads(Path("docs/coverage.json").read_text())
    cp_lrp = [r for r in rows if r["composite"] == "cp_lrp" and r["result"] == examine.GOOD]
    assert {r["type"] for r in cp_lrp if "softmax" in r["detail"].split(", ")} == SOFT


@pytest.mark.parametrize("known", [True, False])
def test_check_tells_what_is_lost(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check: exit 1 only if what the file says works does not."""

    def broken(what: tuple[str, str]) -> Any:
        rows = [examine.Row(what[1], what[0], c, "open") for c in examine.COMPOSITES]
        return rows, 0.0, 0.0

    class Serial:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __enter__(self) -> Serial:
            return self

        def __exit__(self, *_: Any) -> None: ...

        def imap(self, f: Any, items: Any) -> Any:
            return map(broken, items)

    class Context:
        Pool = Serial

    file = tmp_path / "coverage.json"
    row = {"type": "bert", "task": "masked-lm", "composite": "cp_lrp", "result": "closes"}
    file.write_text(json.dumps([row] if known else []))
    before = file.read_text()
    arguments = ["coverage.py", "--check", "--json", str(file), "--task", "masked-lm"]
    monkeypatch.setattr("sys.argv", [*arguments, "--type", "bert"])
    monkeypatch.setattr(coverage.multiprocessing, "get_context", lambda _: Context)
    assert coverage.main() == int(known)
    assert ("worked before" in capsys.readouterr().err) == known
    assert file.read_text() == before


class Faulty(nn.Module):
    """Where a check must fail, and how."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fault, self.calls = fault, 0
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.fault == "forward changed" and self.calls > 2:
            x = x * 1.001
        if self.fault == "all zero":
            x = x * 0
        h = self.a(x)
        if self.fault == "no rule":
            h = torch.logcumsumexp(h, -1)
        if self.fault == "not restored" and self.calls > 2:
            self.b.weight = nn.Parameter(self.b.weight.detach().clone())
        return self.b(torch.nn.functional.gelu(h))


@pytest.mark.parametrize(
    "fault",
    ["closes", "forward changed", "all zero", "no rule", "not restored", "open", "unknown cause"],
)
def test_each_check_can_fail(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Faulty(fault).eval()
    source = type("Source", (), {"build": lambda *_: model, "example": lambda _: torch.ones(2, 6)})
    monkeypatch.setattr(examine, "source", lambda task: source)
    if fault == "open":
        right = activation._Identity.backward
        twice = staticmethod(lambda ctx, g: (2 * (found := right(ctx, g))[0], *found[1:]))
        monkeypatch.setattr(activation._Identity, "backward", twice)
    if fault == "unknown cause":
        monkeypatch.setattr(examine.lxt.rules, "CAUSES", ())
    rows = examine.examine("faulty", "any")
    assert {r.result for r in rows} == {fault}, rows
