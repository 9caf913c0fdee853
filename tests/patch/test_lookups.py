"""Which look-ups take the explained ids: segments, positions and placeholders are others."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import UnexplainedWarning
from tests.models import zoo
from tests.oracles.arrays import relative_error

WORDS = torch.tensor([[3, 9, 5, 7, 0]])
KINDS = torch.zeros_like(WORDS)


class Sum(nn.Module):
    """Words, segments and positions are added up in some order, the ids as they are or copied."""

    def __init__(self, order: str, tells: bool, copied: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.seg, self.tok, self.pos = (nn.Embedding(n, 8) for n in (2, 30, 6))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 3)
        self.order, self.copied = order, copied
        if tells:
            self.get_input_embeddings = lambda: self.tok
        self.double().eval()

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        kinds = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        positions = torch.arange(input_ids.shape[1]).expand(input_ids.shape)
        found = {"seg": kinds, "tok": input_ids, "pos": positions}
        parts = {
            name: getattr(self, name)(found[name].clone() if name in self.copied else found[name])
            for name in self.order.split()
        }
        return self.head(self.layer(parts["seg"] + parts["tok"] + parts["pos"])[:, 0])


ORDERS = ["tok seg pos", "seg pos tok", "pos tok seg"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("copied", ["", "seg"])
@pytest.mark.parametrize(
    "ids", [WORDS, torch.zeros_like(WORDS), torch.arange(5)[None], torch.tensor([[0, 0, 0, 5, 0]])]
)
@pytest.mark.parametrize("composite", ["attnlrp", "gradient"])
def test_the_order_of_the_addends_says_nothing(
    order: str, copied: str, ids: Tensor, composite: str
) -> None:
    """A model that names its words tells what is right for one that does not."""
    for kinds in (KINDS, None):
        given = {"input_ids": ids} | ({} if kinds is None else {"token_type_ids": kinds})
        want = lxt.attribute(Sum(ORDERS[0], True), given, 0, composite)
        found = lxt.attribute(Sum(order, False, copied), given, 0, composite, ledger=True)
        torch.testing.assert_close(found.relevance, want.relevance)
        assert found.ledger is not None
        assert found.ledger.closed or composite == "gradient"


@pytest.mark.parametrize("order", ORDERS)
def test_a_counting_forward_takes_the_same(order: str) -> None:
    every = lxt.Assign(lxt.rules.Epsilon(0.5), where="last")
    last = lxt.Composite([*lxt.composites.composite("attnlrp").assignments, every])
    want = lxt.attribute(Sum(ORDERS[0], True), {"input_ids": KINDS}, 0, last)
    found = lxt.attribute(Sum(order, False), {"input_ids": KINDS}, 0, last)
    torch.testing.assert_close(found.relevance, want.relevance)


def test_segments_from_the_table_of_the_words() -> None:
    """GPT-2 takes both from one table; its words alone are explained."""
    config = transformers.GPT2Config(
        vocab_size=30, n_embd=16, n_layer=1, n_head=2, n_positions=9, num_labels=3, pad_token_id=29
    )
    torch.manual_seed(0)
    model = transformers.GPT2ForSequenceClassification(config).double().eval()
    for ids in (WORDS, torch.tensor([[0, 0, 0, 0, 5]]), KINDS.clone()):
        rest = {"attention_mask": torch.ones_like(ids), "token_type_ids": KINDS}
        embeds = model.transformer.wte(ids).detach()
        found = lxt.attribute(model, {"input_ids": ids, **rest}, lambda y: y[:, 0], ledger=True)
        # without ids the last token is read, as it is here
        want = lxt.attribute(model, {"inputs_embeds": embeds, **rest}, lambda y: y[:, 0])
        torch.testing.assert_close(found.relevance, want.relevance.sum(-1))


class Scaled(nn.Embedding):
    """As the per-layer tables of Gemma 3n."""

    def forward(self, input: Tensor) -> Tensor:
        return 3.0 * super().forward(input)


class Places(nn.Embedding):
    """As BART's: called with the ids, it numbers their places."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(torch.arange(input.shape[1]).expand(input.shape))


class Tables(nn.Module):
    """sum_t head(a(ids) + [b(ids), c(ids)] + places): three tables embed ids, two of half width.

    ``copies``: the tables that are given a copy; ``tells``: which table the model says is the
    words'; ``first``: the table of places comes first.
    """

    def __init__(self, copies: str = "", tells: str = "", first: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Embedding(30, 8), nn.Embedding(30, 4), Scaled(30, 4)
        self.places, self.asks = nn.Embedding(6, 8), Places(30, 8)
        self.head = nn.Linear(8, 3)
        self.copies, self.first = copies, first
        if tells:
            self.get_input_embeddings = lambda: getattr(self, tells)
        self.double().eval()

    def forward(self, input_ids: Tensor, position_ids: Tensor | None = None) -> Tensor:
        places = torch.arange(input_ids.shape[1]).expand(input_ids.shape)
        places = places if position_ids is None else position_ids
        beside = self.places(places) + self.asks(input_ids) if self.first else 0
        found = {n: input_ids.clone() if n in self.copies else input_ids for n in "abc"}
        words = self.a(found["a"]) + torch.cat([self.b(found["b"]), self.c(found["c"])], -1)
        if not self.first:
            beside = self.places(places) + self.asks(input_ids)
        return self.head((words + beside).sum(1))

    def words(self, ids: Tensor, tables: str = "abc", scale: float = 3.0) -> Tensor:
        """The parts of the score for class 1, token by token: each table's share."""
        weight = self.head.weight[1].detach()
        share = {"a": self.a.weight @ weight, "b": self.b.weight @ weight[:4]}
        share["c"] = scale * self.c.weight @ weight[4:]
        return sum((share[name] for name in tables), torch.zeros(30).double())[ids].detach()


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("tells", ["", "a", "c"])
@pytest.mark.parametrize("copies", ["", "a", "bc", "abc"])
def test_ids_that_several_tables_embed(copies: str, tells: str, first: bool) -> None:
    model = Tables(copies, tells, first)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnexplainedWarning)
        found = lxt.attribute(model, {"input_ids": WORDS}, 1, ledger=True)
    torch.testing.assert_close(found.relevance, model.words(WORDS))
    assert found.ledger is not None
    assert found.ledger.closed
    embedded = torch.cat([model.a(WORDS), model.b(WORDS), model.c(WORDS)], -1)
    torch.testing.assert_close((embedded * found.gradient).sum(-1), found.relevance)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("tells", ["", "a", "c"])
@pytest.mark.parametrize("ids", [torch.arange(5)[None], torch.zeros_like(WORDS)])
def test_places_that_equal_the_ids_are_none_of_them(ids: Tensor, tells: str, first: bool) -> None:
    for rest in ({}, {"position_ids": ids}, {"position_ids": ids.clone()}):
        model = Tables("", tells, first)
        model.c = nn.Embedding(30, 4).double()
        found = lxt.attribute(model, {"input_ids": ids, **rest}, 1)
        torch.testing.assert_close(found.relevance, model.words(ids, scale=1.0))


@pytest.mark.parametrize("first", [False, True])
def test_the_named_table_counts_whatever_it_is_given(first: bool) -> None:
    ids = torch.tensor([[0, 1, 2]])
    model = Tables("a", "a", first)
    model.c = nn.Embedding(30, 4).double()
    found = lxt.attribute(model, {"input_ids": ids}, 1)
    torch.testing.assert_close(found.relevance, model.words(ids, scale=1.0))


def test_what_cannot_be_told_is_said() -> None:
    """A copy of ids that may be places: they are explained by the table that took themselves."""
    ids = torch.tensor([[0, 1, 2]])
    model = Tables("bc")
    with pytest.warns(UnexplainedWarning) as caught:
        found = lxt.attribute(model, {"input_ids": ids}, 1)
    torch.testing.assert_close(found.relevance, model.words(ids, "a"))
    said = [str(w.message) for w in caught if w.category is UnexplainedWarning]
    assert sorted(m.split()[0] for m in said) == ["asks", "b", "c", "places"]
    assert all("looks up ids equal to input_ids" in m for m in said)


class Asks(nn.Module):
    """Embeds the ids with a placeholder, and again as they are, by the table that it names."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = nn.Embedding(30, 8), nn.Linear(8, 3)
        self.first = first
        self.double().eval()

    def get_input_embeddings(self) -> nn.Module:
        return self.words

    def forward(self, input_ids: Tensor) -> Tensor:
        if self.first:
            other = self.words(torch.where(input_ids == 9, 1, input_ids)).sum(1)
            return self.head(self.words(input_ids).sum(1) + 2 * other)
        plain = self.words(input_ids).sum(1)
        return self.head(plain + 2 * self.words(torch.where(input_ids == 9, 1, input_ids)).sum(1))


@pytest.mark.parametrize("first", [True, False])
def test_a_placeholder_does_not_count_beside_the_ids_themselves(first: bool) -> None:
    model = Asks(first)
    found = lxt.attribute(model, {"input_ids": WORDS}, 1, ledger=True)
    torch.testing.assert_close(found.relevance, model.words(WORDS) @ model.head.weight[1])
    assert found.ledger is not None
    assert found.ledger.closed


def shift(ids: Tensor, start: Tensor | int) -> Tensor:
    moved = ids.roll(1, 1)
    moved[:, 0] = start
    return moved


COPIES = [
    (name, task)
    for name in ("bart", "mbart", "t5", "mt5", "umt5", "led", "mvp", "plbart")
    for task in ("sequence-classification", "question-answering")
    if name in zoo.TASKS[task] and (name, task) != ("led", "question-answering")  # its NaN
]


@pytest.mark.parametrize(("name", "task"), COPIES)
@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
def test_a_decoder_that_reads_the_ids_again(name: str, task: str, composite: str) -> None:
    """As if its ids, moved on by one, had been given to it: every copy goes to its word."""
    model = zoo.build(name, task).double()
    given = zoo.example(model)
    ids = given.pop("decoder_input_ids") if "decoder_input_ids" in given else given["input_ids"]
    given["input_ids"] = ids
    last = name in ("mbart", "plbart")  # they turn round: the last token is the first
    model.config.decoder_start_token_id = 1
    start = ids[:, -1] if last else 1
    target = score_of(task)
    want = lxt.attribute(
        model, {**given, "decoder_input_ids": shift(ids, start)}, target, composite, ledger=True
    )
    found = lxt.attribute(model, given, target, composite, ledger=True)
    parts, gradients = dict(want.relevance), dict(want.gradient)
    assert float(parts["decoder_input_ids"].abs().max()) > 1e-3 * float(want.score.abs().max())
    back = nn.functional.pad(parts["decoder_input_ids"][:, 1:], (0, 1))
    assert relative_error(found.relevance, parts["input_ids"] + back) < 1e-9
    back = nn.functional.pad(gradients["decoder_input_ids"][:, 1:], (0, 0, 0, 1))
    assert relative_error(found.gradient, gradients["input_ids"] + back) < 1e-9
    assert found.ledger is not None
    assert want.ledger is not None
    assert found.ledger.closed
    of_start = parts["decoder_input_ids"][:, 0].double()
    empty = torch.zeros_like(of_start)
    booked = {k: v.clone() for k, v in want.ledger.entries.items()}
    booked["constant"] = booked.get("constant", empty) + of_start
    assert set(found.ledger.entries) <= set(booked)
    for cause, amount in booked.items():
        torch.testing.assert_close(found.ledger.entries.get(cause, empty), amount)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_a_decoders_own_words_are_no_positions(name: str) -> None:
    """From labels: T5 adds no positions to them, and CP-LRP gives its biases of scores nothing."""
    model = zoo.build(name, "seq2seq-lm").double()
    model.config.decoder_start_token_id = 1
    given = zoo.example(model)
    given["labels"] = given.pop("decoder_input_ids")
    found = lxt.attribute(model, given, 5, "cp_lrp", ledger=True)
    assert found.ledger is not None
    assert found.ledger.closed
    assert float(found.ledger.entries["constant"].abs().min()) > 1e-3
    assert ("position" in found.ledger.entries) == (name == "bart")  # its encoder has some


def score_of(task: str) -> Any:
    if task == "question-answering":
        return lxt.targets.Output(lambda out: out.start_logits[:, 2] + out.end_logits[:, 3])
    return 1
