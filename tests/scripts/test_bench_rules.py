"""What the benchmark of the rules measures is what it says; times belong to the script."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.peers.zennit_stub import available, load

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench_rules.py"


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("bench_rules", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_rules"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_rules"]


def test_the_peak_counts_what_lives_at_one_time(bench: ModuleType) -> None:
    def run() -> torch.Tensor:
        kept = torch.ones(1000, 1000)  # 4 MB
        passing = [torch.ones(1000, 1000) for _ in range(2)]
        del passing
        torch.ones(1000, 1000)
        return kept

    assert 12e6 <= bench.peak_bytes(run) < 12.1e6


@pytest.mark.skipif(not available(), reason="zennit is not installed")
@pytest.mark.parametrize("name", ["epsilon", "z+", "gamma", "alpha-beta"])
def test_no_rule_needs_more_memory_than_zennit(bench: ModuleType, name: str) -> None:
    rule, theirs, options, _ = bench.CASES[name]
    model, x, target = bench.stack(4, 20, 16)
    zennit = load()
    their_rule = getattr(zennit.rules, theirs)(**options)
    runs = (
        bench.theirs(zennit, model, x, target, their_rule),
        bench.ours(model, x, target, rule),
    )
    for run in runs:
        run()
    peak = [bench.peak_bytes(run) for run in runs]
    assert 0 < peak[1] <= peak[0]
    theirs_calls, ours_calls = (bench.calls(run) for run in runs)
    assert all(o < t for o, t in zip(ours_calls, theirs_calls, strict=True))
