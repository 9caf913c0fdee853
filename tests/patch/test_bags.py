"""Ids in nn.EmbeddingBag: as where their rows are looked up one by one, and added up."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from tests.oracles.arrays import relative_error
from tests.support import closing_error, draw, random


class Bags(nn.Module):
    """Rows summed, averaged or the largest of them, by one kernel or written out."""

    def __init__(self, mode: str, padding: int | None, scales: Tensor | None, kernel: bool) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(9, 4, mode=mode, padding_idx=padding)
        self.words = nn.Embedding(9, 4)
        self.head = nn.Linear(4, 3)
        draw(self)
        self.words.weight = self.bag.weight
        self.kernel, self.scales = kernel, scales

    def forward(self, input_ids: Tensor, offsets: Tensor | None = None) -> Tensor:
        if self.kernel:
            out = self.bag(input_ids, offsets, per_sample_weights=self.scales)
        else:
            out = torch.stack(self.written(input_ids, offsets))
        made: Tensor = self.head(torch.tanh(out) * torch.sigmoid(out))
        return made

    def written(self, ids: Tensor, offsets: Tensor | None) -> list[Tensor]:
        rows = self.words(ids)
        if self.scales is not None:
            rows = rows * self.scales[..., None]
        kept = torch.ones_like(ids) if self.bag.padding_idx is None else ids != self.bag.padding_idx
        sizes = [1] * len(ids)
        if offsets is not None:
            sizes = torch.diff(offsets, append=torch.tensor([len(ids)])).tolist()
        found = []
        for bag, mask in zip(rows.split(sizes), kept.split(sizes), strict=True):
            words = bag.reshape(-1, 4)[mask.reshape(-1).bool()]
            modes = {"sum": words.sum(0), "mean": words.mean(0), "max": words.amax(0)}
            found.append(modes[self.bag.mode])
        return found


IDS = torch.tensor([[1, 5, 3, 8], [7, 2, 0, 0]])
GIVEN: dict[str, Any] = {
    "rows": {"input_ids": IDS},
    "a tensor": IDS,
    "offsets": {"input_ids": IDS.flatten(), "offsets": torch.tensor([0, 3])},
}
CASES = [(mode, None) for mode in ("sum", "mean", "max")] + [("sum", random(2, 4))]


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
@pytest.mark.parametrize("padding", [None, 0])
@pytest.mark.parametrize(("mode", "scales"), CASES, ids=["sum", "mean", "max", "weighted"])
@pytest.mark.parametrize("name", GIVEN)
def test_a_bag_is_its_rows(
    name: str, mode: str, scales: Tensor | None, padding: int | None, composite: str
) -> None:
    given = GIVEN[name]
    if scales is not None and name == "offsets":
        scales = scales.flatten()
    one, two = (Bags(mode, padding, scales, kernel).double() for kernel in (True, False))
    wanted = lxt.attribute(two, given, 0, composite)
    found = lxt.attribute(one, given, 0, composite, ledger=True)
    plain = lxt.attribute(one, given, 0, composite)
    assert found.ledger is not None
    assert closing_error(found.ledger) < 1e-12
    value = one(**given) if isinstance(given, dict) else one(given)
    for got in (found, plain):
        assert torch.equal(got.output, value)
        assert got.relevance.shape == ((8,) if name == "offsets" else (2, 4))
        assert relative_error(got.relevance, wanted.relevance) < 1e-12
        assert relative_error(got.gradient, wanted.gradient) < 1e-12


def test_bags_of_several_lengths_have_an_account_each() -> None:
    class Bags(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e, self.o = nn.EmbeddingBag(20, 6, mode="sum"), nn.Linear(6, 4)

        def forward(self, input: Tensor, offsets: Tensor) -> Tensor:
            out: Tensor = self.o(self.e(input, offsets))
            return out

    ids = {"input": torch.arange(9), "offsets": torch.tensor([0, 3, 5])}
    got = lxt.attribute(draw(Bags()).double(), ids, 0, ledger=True)
    assert float(got.ledger.gap.abs().max()) < 1e-9
