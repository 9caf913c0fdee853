"""Where a model's last block begins."""

from __future__ import annotations

import pytest
from torch import nn

from lxt_like.patch.install import modules_of
from lxt_like.patch.tail import tail
from tests.models import zoo


def names(model: nn.Module) -> set[str]:
    found = tail(modules_of(model))
    return {n for n, p in model.named_parameters(remove_duplicate=False) if id(p) in found}


@pytest.mark.parametrize(
    ("family", "task", "blocks"),
    [
        ("bert", "sequence-classification", ["bert.encoder.layer"]),
        ("llama", "causal-lm", ["model.layers"]),
        ("vit", "image-classification", ["vit.layers"]),
        ("t5", "seq2seq-lm", ["encoder.block", "decoder.block"]),
        ("gpt2", "causal-lm", ["transformer.h"]),
    ],
)
def test_the_last_block_and_what_is_no_block(family: str, task: str, blocks: list[str]) -> None:
    model = zoo.build(family, task)
    inner = [n for n, _ in model.named_parameters() if n.startswith(tuple(f"{b}." for b in blocks))]
    early = {n for n in inner if any(n.startswith(f"{b}.0.") for b in blocks)}
    assert early and {n for n in inner if n not in early}, "two blocks each"
    assert names(model) == {n for n, _ in model.named_parameters(remove_duplicate=False)} - early


def test_lists_in_lists_and_sequentials() -> None:
    block = nn.Linear(2, 2)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 1),
        nn.ModuleList([nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)]) for _ in range(2)]),
        nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)),
        nn.ModuleList([block, block]),
    )
    expected = {"0.weight", "0.bias", "3.1.weight"}
    expected |= {f"1.1.{i}.{n}" for i in "01" for n in ("weight", "bias")}
    expected |= {f"2.{i}.{n}" for i in "02" for n in ("weight", "bias")}
    assert names(model) == expected


def test_a_model_that_is_a_list_of_blocks() -> None:
    assert names(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))) == {"1.weight", "1.bias"}
    assert names(nn.Linear(2, 2)) == {"weight", "bias"}
