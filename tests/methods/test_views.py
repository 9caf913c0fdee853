"""The layer trace, channels, and relevance under conditions."""

from __future__ import annotations

import pytest
import torch

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.methods import channels, top_channels
from lxt_like.methods.trace import TraceRow
from tests.models.cnn import build_cnn
from tests.models.tiny import build, inputs
from tests.oracles.arrays import relative_error
from tests.support import random


class TestTrace:
    def test_rows_are_the_layers_in_execution_order(self) -> None:
        model, x = build_cnn("lenet"), random(2, 3, 12, 12)
        found = lxt.trace(model, x, 1, "epsilon_plus")
        whole = lxt.attribute(model, x, 1, "epsilon_plus", layers=["*"])
        assert [r.layer for r in found.rows] == ["input", *(str(i) for i in range(10))]
        for row in found.rows[1:]:
            r = whole.layers[row.layer].flatten(1)
            assert row.net == pytest.approx(r.sum(1).tolist())
            assert row.size == pytest.approx(r.abs().sum(1).tolist())
        assert found.rows[-1].net == pytest.approx(found.score)
        assert found.rows[0].net == pytest.approx(whole.relevance.flatten(1).sum(1).tolist())

    def test_deep_models_show_their_blocks(self) -> None:
        found = lxt.trace(build("bert"), inputs("bert"))
        names = [row.layer for row in found.rows]
        assert any(name.startswith("bert.encoder.layer.") and name[-1].isdigit() for name in names)

    def test_turns(self) -> None:
        rows = [
            TraceRow(str(i), (p,), (n,))
            for i, (p, n) in enumerate([(1, 0), (1, -3), (1, -2), (5, 0)])
        ]
        found = lxt.methods.Trace(tuple(rows), (5.0,), ("cat",))
        assert found.turns(0) == ["1", "3"]
        assert found.amplified(0)[0] == ("3", 4.0)
        text = str(found)
        assert text.count("turns") == 2
        assert "cat: score +5" in text

    def test_a_contrast(self) -> None:
        model, x = build_cnn("resnet"), random(2, 3, 12, 12)
        found = lxt.trace(model, x, lxt.Contrast(0, 1), "epsilon_plus")
        assert found.labels[0] == "0 rather than 1"


class TestChannels:
    def test_axes(self) -> None:
        image, tokens, features = random(2, 3, 4, 5), random(2, 7, 3), random(2, 3)
        assert torch.allclose(channels(image), image.sum((2, 3)))
        assert torch.allclose(channels(tokens), tokens.sum(1))
        assert torch.equal(channels(features), features)
        assert torch.allclose(channels(tokens, axis=1), tokens.sum(2))
        with pytest.raises(InputError, match="batch"):
            channels(tokens, axis=0)

    def test_top(self) -> None:
        values, at = top_channels(torch.tensor([[1.0, -5.0, 3.0]]), k=2)
        assert values.tolist() == [[-5, 3]]
        assert at.tolist() == [[1, 2]]


class TestConditional:
    @pytest.mark.parametrize("batch_size", [1, 5, 64])
    def test_a_partition_adds_up(self, batch_size: int) -> None:
        model, x = build_cnn("lenet"), random(2, 3, 12, 12)
        conditions = [{"3": [0, 1]}, {"3": [2]}, {"3": [3, 4, 5]}]
        found = lxt.conditional(model, x, conditions, 1, "epsilon_plus", batch_size=batch_size)
        plain = lxt.attribute(model, x, 1, "epsilon_plus")
        assert found.relevance.shape == (3, *x.shape)
        assert relative_error(found.relevance.sum(0), plain.relevance) < 1e-9
        assert torch.allclose(found.score, plain.score)
        assert torch.allclose(found.totals(), found.relevance.flatten(2).sum(2))

    def test_it_is_a_mask(self) -> None:
        model, x = build_cnn("lenet"), random(2, 3, 12, 12)
        conditions = [{"0": [1], "3": [2, 5]}, {"8": [-1]}]
        found = lxt.conditional(model, x, conditions, 1, "epsilon_plus")
        first, second = torch.zeros(1, 4, 1, 1), torch.zeros(1, 6, 1, 1)
        first[:, 1], second[:, [2, 5]] = 1, 1
        want = lxt.attribute(model, x, 1, "epsilon_plus", masks={"0": first, "3": second})
        assert relative_error(found.relevance[0], want.relevance) < 1e-12

    def test_tokens(self) -> None:
        model, given = build("bert"), inputs("bert")
        layer = "bert.encoder.layer.0"
        width = model.config.hidden_size
        halves = [{layer: range(width // 2)}, {layer: range(width // 2, width)}]
        found = lxt.conditional(model, given, halves, [0, 1])
        plain = lxt.attribute(model, given, [0, 1])
        assert relative_error(found.relevance.sum(0), plain.relevance) < 1e-5

    @pytest.mark.parametrize(
        ("conditions", "message"),
        [
            ([], "at least one"),
            ([{}], "at least one"),
            ([{"nope": [1]}], "no layer 'nope'; the model has"),
            ([{"3": [6]}], "'3' has 6 channels, so none is 6"),
        ],
    )
    def test_refusals(self, conditions: list[dict[str, list[int]]], message: str) -> None:
        with pytest.raises(InputError, match=message):
            lxt.conditional(build_cnn("lenet"), random(1, 3, 12, 12), conditions)
