"""What an attribution keeps between forward and backward, counted; times belong to the script."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench_core.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_core", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("case", "most"), [("llama", 0.75), ("bert", 0.85)])
def test_bytes_between_forward_and_backward(bench: ModuleType, case: str, most: float) -> None:
    model, x = bench.llama(96) if case == "llama" else bench.bert(4, 32)
    model.requires_grad_(False)
    gradient, lrp = bench.memory_ratio(model, x)
    assert 0 < lrp <= most * gradient


def test_what_is_kept_is_seen(bench: ModuleType) -> None:
    """The count finds a kept tensor, and counts shared storage once."""
    layer = torch.nn.Linear(8, 8)
    x = torch.randn(1000, 8).requires_grad_()

    def forward() -> torch.Tensor:
        y = layer(x)
        return (y.tanh() * y[:]).sum()

    kept = bench.live_bytes(forward)
    # y, tanh(y) and the product's operands, which are the same two; and the sum
    assert 2 * 32_000 <= kept < 3 * 32_000
