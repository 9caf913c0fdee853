"""Token ids that a model pads, transposes, or embeds twice, explained where they were given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.patch.embedded import Layout, input_embeddings, is_alike, layout_of, shifted

IDS = torch.tensor([[3, 4, 5], [6, 7, 8]])


@pytest.mark.parametrize(
    ("ids", "layout"),
    [
        (IDS, Layout()),
        (IDS.reshape(-1), Layout()),
        (IDS.T, Layout(transposed=True)),
        (torch.cat([IDS, torch.ones(2, 2, dtype=torch.int64)], 1), Layout(start=0, length=3)),
        (torch.cat([torch.ones(2, 2, dtype=torch.int64), IDS], 1), Layout(start=2, length=3)),
        (torch.where(IDS == 7, 1, IDS), None),
        (IDS[:, 1:], Layout(left_out=(1, 0))),
        (IDS[:, :1], Layout(left_out=(0, 2))),
        (IDS[:, ::2], None),
        (IDS[:1, 1:], None),
        (IDS.repeat_interleave(2, 0), Layout(copies=2)),
        (IDS.repeat(2, 1), None),
        (IDS + 1, None),
        (torch.arange(3), None),
    ],
)
def test_layouts(ids: Tensor, layout: Layout | None) -> None:
    assert layout_of(ids, IDS) == layout


@pytest.mark.parametrize(
    ("ids", "alike"),
    [
        (torch.where(IDS == 7, 1, IDS), True),
        (torch.where((IDS == 3) | (IDS == 8), 0, IDS), True),
        (torch.tensor([[1, 4, 5], [6, 7, 2]]), False),
        (torch.zeros_like(IDS), False),
        (IDS[:, 1:], False),
    ],
)
def test_one_id_in_place_of_others(ids: Tensor, alike: bool) -> None:
    assert is_alike(ids, IDS) == alike


@pytest.mark.parametrize(
    ("ids", "layout"),
    [
        (torch.tensor([[1, 3, 4], [1, 6, 7]]), Layout(start=1, length=2, left_out=(0, 1))),
        (torch.tensor([[1, 3, 4], [2, 6, 7]]), Layout(start=1, length=2, left_out=(0, 1))),
        (torch.tensor([[1, 3, 4], [1, 6, 8]]), None),
        (IDS, None),
        (IDS[:, :1], None),
    ],
)
def test_ids_moved_on_by_one(ids: Tensor, layout: Layout | None) -> None:
    assert shifted(ids, IDS) == layout
    if layout is not None:
        embedded = ids[..., None].float()
        assert layout.take(embedded)[..., 0].tolist() == [[3, 4, 0], [6, 7, 0]]


class Padded(nn.Module):
    """Embeds a prompt of its own, and time first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(9, 4), nn.Linear(4, 2)

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(self, input_ids: Tensor) -> Tensor:
        prompt = torch.ones((len(input_ids), 2), dtype=torch.int64)
        x = self.words(torch.cat([prompt, input_ids], 1))
        return self.head(torch.relu(x).sum(1)) + self.head(self.words(input_ids.T).sum(0))


@pytest.mark.parametrize("batch", [1, 2])
def test_added_tokens_are_an_entry_of_the_ledger(batch: int) -> None:
    model = Padded().double()
    found = lxt.attribute(model, {"input_ids": IDS[:batch]}, 1, ledger=True)
    weight = model.head.weight[1]
    e = model.words(IDS[:batch])
    wanted = (torch.relu(e) * weight).sum(-1) + (e * weight).sum(-1)
    assert torch.allclose(found.relevance, wanted, atol=1e-12)
    prompt = 2 * (torch.relu(model.words.weight[1]) * weight).sum()
    assert found.ledger is not None
    assert torch.allclose(found.ledger.entries["constant"], prompt.expand(batch), atol=1e-12)
    assert float(found.ledger.gap.abs().max()) < 1e-12
    assert found.gradient.shape == (batch, 3, 4)


SYMMETRIC = torch.tensor([[1, 7, 4], [7, 2, 5], [4, 5, 3]])


class Weighted(nn.Module):
    """sum_t t * head(words(ids)[t]), of ids that lie time first or not, or were copied so."""

    def __init__(self, first: bool, copied: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(20, 4), nn.Linear(4, 2, bias=False)
        self.first, self.copied = first, copied
        self.double()

    def forward(self, input_ids: Tensor) -> Tensor:
        ids = input_ids.t() if self.first else input_ids
        x = self.words(ids.contiguous().clone() if self.copied else ids)
        x = x if self.first else x.transpose(0, 1)
        return self.head((x * torch.arange(1, len(x) + 1)[:, None, None]).sum(0))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("ids", [SYMMETRIC, SYMMETRIC.t(), SYMMETRIC[:2, :2], SYMMETRIC + IDS[:1]])
def test_ids_that_are_their_own_transpose(first: bool, copied: bool, ids: Tensor) -> None:
    """Where their memory tells how they lie a batch is as its samples are; else it is refused."""
    model = Weighted(first, copied)
    if copied and torch.equal(ids, ids.t()):
        with pytest.raises(InputError, match="input_ids equals itself with rows and columns"):
            lxt.attribute(model, {"input_ids": ids}, 1)
        return
    found = lxt.attribute(model, {"input_ids": ids}, 1).relevance
    alone = [lxt.attribute(model, {"input_ids": row[None]}, 1).relevance for row in ids]
    assert torch.allclose(found, torch.cat(alone), atol=1e-12)


class InParts(nn.Module):
    """Drops the first token, and embeds the rest in two goes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(9, 4), nn.Linear(4, 2)

    def forward(self, input_ids: Tensor) -> Tensor:
        rest = input_ids[:, 1:]
        return self.head(
            self.words(rest[:, :1]).sum(1) + torch.relu(self.words(rest[:, 1:])).sum(1)
        )


def test_tokens_that_the_model_drops_have_none() -> None:
    model = InParts().double()
    found = lxt.attribute(model, {"input_ids": IDS}, 1, ledger=True)
    e, weight = model.words(IDS), model.head.weight[1]
    wanted = torch.stack([0 * e[:, 0].sum(-1), e[:, 1] @ weight, torch.relu(e[:, 2]) @ weight], 1)
    assert torch.allclose(found.relevance, wanted, atol=1e-12)
    assert found.ledger is not None
    assert float(found.ledger.gap.abs().max()) < 1e-12


class Frames(nn.Module):
    """Its question is embedded once a frame, by a module that the model does not call its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.asked, self.head = nn.Embedding(9, 4), nn.Embedding(9, 4), nn.Linear(4, 2)

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(self, input_ids: Tensor, asked_input_ids: Tensor) -> Tensor:
        asked = torch.relu(self.asked(asked_input_ids.repeat_interleave(2, 0))).unflatten(
            0, (-1, 2)
        )
        scale = torch.tensor([1.0, 2.0], dtype=asked.dtype).view(2, 1, 1)
        return self.head(self.words(input_ids).sum(1) + (scale * asked).sum((1, 2)))


def test_tokens_embedded_once_a_frame() -> None:
    model = Frames().double()
    given = {"input_ids": IDS, "asked_input_ids": IDS.flip(1)}
    found = lxt.attribute(model, given, 1, ledger=True)
    weight = model.head.weight[1]
    assert torch.allclose(found.relevance["input_ids"], model.words(IDS) @ weight, atol=1e-12)
    asked = 3 * torch.relu(model.asked(IDS.flip(1))) @ weight
    assert torch.allclose(found.relevance["asked_input_ids"], asked, atol=1e-12)
    assert found.ledger is not None
    assert float(found.ledger.gap.abs().max()) < 1e-12


def test_encoder_and_decoder_have_embeddings_of_their_own() -> None:
    from tests.models import zoo

    model = zoo.build("fsmt", "seq2seq-lm")
    assert len(input_embeddings(model)) == 2
    given = zoo.example(model)
    found = lxt.attribute(model, given, lambda logits: logits[:, 5])
    assert set(found.relevance) == {"input_ids", "decoder_input_ids"}


def test_a_sample_whose_score_depends_on_others_inputs() -> None:
    torch.manual_seed(0)
    head = nn.Linear(4, 3, dtype=torch.float64)

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, x: Tensor) -> Tensor:
            y = self.head(x)
            return y @ y.mT  # similarities of all to all

    found = lxt.attribute(Mixed(), torch.randn(3, 4, dtype=torch.float64), 2, ledger=True)
    assert found.ledger is not None
    assert float(found.ledger.gap.abs().max()) < 1e-12
