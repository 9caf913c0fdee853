"""What is explained: ids at their embedding, floats directly, the rest passes through."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.demo import sentiment
from lxt_like.errors import InputError, ModelError, UnexplainedWarning
from lxt_like.patch.inputs import Inputs, module_of
from tests.models.tiny import build, inputs
from tests.support import draw, random

IDS = torch.tensor([[1, 2, 3]])


class Words(nn.Module):
    """Two embeddings of the same ids: the model says which is its input embedding."""

    def __init__(self, tells: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Embedding(9, 4), nn.Embedding(9, 4)
        self.head = nn.Linear(4, 2)
        if tells:
            self.get_input_embeddings = lambda: self.second

    def forward(self, input_ids: Tensor, scale: Tensor | None = None) -> Tensor:
        x = self.first(input_ids) + self.second(input_ids)
        return self.head((x if scale is None else x * scale).mean(1))


@pytest.mark.parametrize("tells", [True, False])
def test_every_table_of_the_ids_counts(tells: bool) -> None:
    model = draw(Words(tells)).double()
    got = lxt.attribute(model, {"input_ids": IDS}, 0, ledger=True)
    want = (model.first.weight + model.second.weight)[IDS] @ model.head.weight[0] / 3
    torch.testing.assert_close(got.relevance, want)
    assert got.ledger.closed
    assert "constant" not in got.ledger.entries


def test_what_is_not_explained() -> None:
    given = Inputs(
        build("bert"),
        {**inputs("bert"), "position_ids": torch.zeros(2, 9), "use_cache": False, "x": 3},
    )
    assert given.names == ["input_ids"]
    assert given.kwargs["use_cache"] is False
    assert not given.kwargs["position_ids"].requires_grad


def test_embeddings_win_over_ids() -> None:
    embeds = torch.randn(2, 9, 32)
    given = Inputs(build("bert"), {**inputs("bert"), "inputs_embeds": embeds})
    assert given.names == ["inputs_embeds"]
    assert given.kwargs["inputs_embeds"].requires_grad
    assert not embeds.requires_grad


def test_the_callers_tensors_are_untouched() -> None:
    model, x = nn.Linear(4, 2), torch.randn(3, 4)
    before = x.clone()
    lxt.attribute(model, x, 0)
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert x.grad is None
    leaf = torch.randn(3, 4, requires_grad=True)
    lxt.attribute(model, leaf, 0)
    assert leaf.grad is None


def test_float_inputs_keep_their_shape() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)).eval()
    x = torch.randn(2, 3, 5, 5)
    model(x)
    assert lxt.attribute(model, x, 0).relevance.shape == x.shape


def test_ids_may_be_given_by_position() -> None:
    model = draw(Words(True)).double()
    want = lxt.attribute(model, {"input_ids": IDS}, 0).relevance
    assert torch.equal(lxt.attribute(model, IDS, 0).relevance, want)
    assert torch.equal(lxt.attribute(model, {"input_ids": IDS.int()}, 0).relevance, want)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_ids_that_the_model_fails_on(name: str) -> None:
    model, given = build(name), inputs(name)
    with pytest.raises(InputError, match=r"input_ids of shape \(9,\) .* as input_ids\[None\]"):
        lxt.attribute(model, {k: v[0] for k, v in given.items()}, 0)
    rows = len(model.get_input_embeddings().weight)
    for wrong in (-1, rows):
        ids = given["input_ids"].clone()
        ids[1, 2] = wrong
        said = rf"which holds the id {wrong} .* expected ids from 0 to {rows - 1}:"
        with pytest.raises(InputError, match=said):
            lxt.attribute(model, {**given, "input_ids": ids}, 0)


def test_a_failure_for_other_reasons_is_left_alone() -> None:
    with pytest.raises(RuntimeError, match="must match"):
        lxt.attribute(Words(True), {"input_ids": IDS, "scale": torch.ones(7, 7)}, 0)
    one_each = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2))
    assert lxt.attribute(one_each, torch.tensor([1, 2]), 0).relevance.shape == (2,)


def test_scale_is_an_input_too() -> None:
    model = draw(Words(True)).double()
    given = {"input_ids": IDS, "scale": torch.full((1, 1, 1), 2.0).double()}
    got = lxt.attribute(model, given, 0, ledger=True)
    assert set(got.relevance) == {"input_ids", "scale"}
    assert got.ledger.closed


@pytest.mark.parametrize(
    ("name", "aside"),
    [
        ("composition", False),
        ("masked_image", False),
        ("unlabeled", False),
        ("biased_features", False),
        ("cached", False),
        ("position_embeddings", True),
        ("start_positions", True),
        ("cross_attn_head_mask", True),
        ("attentionMask", True),
        ("mask2", True),
        ("labels", True),
        ("relative_bias", True),
        ("past_cache", True),
        ("bool_masked_pos", True),
    ],
)
def test_whole_words_of_a_name_say_what_is_no_input(name: str, aside: bool) -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2, bias=False)

        def forward(self, x: Tensor, **rest: Tensor) -> Tensor:
            return self.head(x + rest[name])

    model = draw(Sum()).double()
    given = {"x": random(1, 4), name: random(1, 4, seed=1)}
    found = lxt.attribute(model, given, 0).relevance
    assert set(found) == set(given) if not aside else isinstance(found, Tensor)
    if not aside:
        want = model(**given)[0, 0].item()
        assert float(found["x"].sum() + found[name].sum()) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "mask"])
def test_floats_that_are_not_explained_are_named(kind: str) -> None:
    name = "masks" if kind == "mask" else "extra"
    part = random(1, 4, seed=1)
    pack: Any = {"list": [part], "tuple": ((part,),), "dict": {"a": part}}.get(kind, [part])

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2, bias=False)

        def forward(self, x: Tensor, **rest: Any) -> Tensor:
            return self.head(x + part)

    model = draw(Sum()).double()
    given = {"x": random(1, 4), name: pack, "sizes": [(3, 4), torch.tensor([1])]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lxt.attribute(model, given, 0)
    said = [str(w.message) for w in caught if w.category is UnexplainedWarning]
    assert len(said) == (kind != "mask")
    assert all(m.startswith("extra holds float tensors, which are not explained") for m in said)


@pytest.mark.parametrize("given", [[1, 2], (IDS,), 3, None, "text"])
def test_other_types(given: Any) -> None:
    with pytest.raises(InputError, match="expected a tensor or a mapping"):
        Inputs(nn.Linear(2, 2), given)


def test_module_of() -> None:
    model = nn.Linear(2, 2)
    assert module_of(model) is model
    with pytest.raises(InputError, match="got int: '3'"):
        module_of(3)
    with pytest.raises(ModelError, match="no folder"):
        module_of("./no/such/folder")
    loaded = module_of(sentiment())
    assert loaded.classifier.out_features == 2
    assert not loaded.training


class _Twice(torch.nn.Module):
    """One set of ids embedded twice, by one module or by two with one table."""

    def __init__(self, modules: int) -> None:
        super().__init__()
        self.first = torch.nn.Embedding(5, 4)
        self.second = torch.nn.Embedding(5, 4) if modules == 2 else self.first
        self.second.weight = self.first.weight
        self.out = torch.nn.Linear(4, 2, bias=False)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out((self.first(input_ids) + self.second(input_ids)).mean(1))
        return found


@pytest.mark.parametrize("modules", [1, 2])
def test_ids_embedded_twice_take_the_relevance_of_both(modules: int) -> None:
    a = lxt.attribute(_Twice(modules), {"input_ids": torch.tensor([[1, 2, 3]])}, 0)
    torch.testing.assert_close(a.relevance.sum(1), a.score)


def test_equal_ids_under_two_names_are_told_apart() -> None:
    ids = torch.tensor([[1, 2, 3]])

    class Pair(_Twice):
        def forward(  # type: ignore[override]
            self, input_ids: torch.Tensor, decoder_input_ids: torch.Tensor
        ) -> torch.Tensor:
            both = self.first(input_ids) + 3 * self.first(decoder_input_ids)
            found: torch.Tensor = self.out(both.mean(1))
            return found

    model = Pair(1)
    for given in (
        {"input_ids": ids, "decoder_input_ids": ids.clone()},
        {"decoder_input_ids": ids.clone(), "input_ids": ids},
        {"decoder_input_ids": ids, "input_ids": ids},
    ):
        r = lxt.attribute(model, given, 0).relevance
        torch.testing.assert_close(3 * r["input_ids"], r["decoder_input_ids"])


def test_a_filled_cache_is_refused() -> None:
    key = torch.ones(1, 1, 2, 2)
    given = {"input_ids": torch.tensor([[1]]), "past_key_values": ((key, key),)}
    with pytest.raises(InputError, match="cache"):
        lxt.attribute(_Twice(1), given, 0)


class Plain(nn.Module):
    """Any function of float inputs or ids, with weights."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.a, self.b, self.e = nn.Linear(6, 8), nn.Linear(8, 3), nn.Embedding(9, 6)
        self.function = function

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Any:
        return self.function(self, *args, **kwargs)


def classes(m: Any, x: Tensor) -> Any:
    return m.b(torch.tanh(m.a(x)))


def test_one_sample_without_a_batch_axis() -> None:
    """Its classes are no batch of scores: their sum would be explained, whatever the target."""
    model, x = draw(Plain(classes)).double(), random(6)
    for target in (0, None, lambda logits: logits[:, 0]):
        with pytest.raises(InputError, match=r"got 3 scores of input \(6,\).* as input\[None\]"):
            lxt.attribute(model, x, target)
    with pytest.raises(InputError, match="batch axis"):
        lxt.attribute(model, x, lxt.targets.Output(lambda y: y))
    with pytest.raises(InputError, match="batch axis"):
        lxt.audit(model, x, 0)
    assert lxt.attribute(model, x[None], 0).relevance.shape == (1, 6)


UNBATCHED: dict[str, tuple[Any, Any]] = {
    "as many classes as features": (lambda m, x: x @ m.b.weight.T @ m.b.weight, random(8)),
    "tokens": (lambda m, x: classes(m, x).mean(0), random(5, 6)),
    "an image": (lambda m, x: classes(m, x.flatten(-2)).mean(0), random(2, 2, 3)),
    "token ids": (
        lambda m, input_ids: classes(m, m.e(input_ids)).mean(0),
        {"input_ids": torch.arange(5)},
    ),
    "by names": (
        lambda m, x, y: m.b(torch.tanh(m.a(x) + m.a(y))),
        {"x": random(6), "y": random(6, seed=1)},
    ),
}


@pytest.mark.parametrize("name", UNBATCHED)
def test_other_samples_without_a_batch_axis(name: str) -> None:
    function, given = UNBATCHED[name]
    with pytest.raises(InputError, match="batch axis"):
        lxt.attribute(draw(Plain(function)).double(), given, 0)


def scores(m: Any, x: Tensor) -> Any:
    return classes(m, x)[..., 0]


BATCHED: dict[str, tuple[Any, Any, int]] = {
    "a score each": (scores, random(4, 6), 4),
    "time first": (lambda m, x: scores(m, x).mean(0), random(5, 4, 6), 4),
    "time first, classes": (lambda m, x: classes(m, x).mean(0), random(5, 4, 6), 4),
    "ids, time first": (
        lambda m, input_ids: scores(m, m.e(input_ids)).mean(0),
        {"input_ids": torch.arange(8).view(2, 4)},
        4,
    ),
    "an id each": (
        lambda m, input_ids: scores(m, m.e(input_ids)),
        {"input_ids": torch.arange(4)},
        4,
    ),
    "numbers under two names": (
        lambda m, x, y: scores(m, torch.stack([x, y, x, y, x, y], -1)),
        {"x": random(4), "y": random(4, seed=1)},
        4,
    ),
    "one number for all": (lambda m, x: scores(m, x).mean(0, keepdim=True), random(4, 6), 1),
    "one sample's features": (lambda m, x: classes(m, x[None]), random(6), 1),
    "nodes of several graphs": (
        lambda m, x, graph: torch.zeros(2, 3).double().index_add(0, graph, classes(m, x)),
        {"x": random(5, 6), "graph": torch.tensor([0, 0, 1, 1, 1])},
        2,
    ),
    "several places of a sample": (lambda m, x: classes(m, x).flatten(0, 1), random(2, 3, 6), 6),
}


@pytest.mark.parametrize("name", BATCHED)
def test_where_the_batch_may_be(name: str) -> None:
    function, given, samples = BATCHED[name]
    found = lxt.attribute(draw(Plain(function)).double(), given, 0, ledger=True)
    assert found.score.shape == (samples,)
    assert found.ledger is not None
    assert found.ledger.closed


def test_numbers_that_are_samples_each() -> None:
    """Of a vector nothing tells whether it is a batch; the target may."""
    model = draw(Plain(lambda m, x: scores(m, x[:, None].expand(-1, 6)))).double()
    with pytest.raises(InputError, match=r"targets\.Output"):
        lxt.attribute(model, random(4), 0)
    found = lxt.attribute(model, random(4), lxt.targets.Output(lambda y: y))
    assert found.score.shape == (4,)


class Beside(nn.Module):
    """An input, and arguments that hold nothing, or a number that the samples share."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor, **rest: Tensor) -> Any:
        for t in rest.values():
            x = x * t if t.dim() == 0 and t.is_floating_point() else x
        return self.layer(x)


@pytest.mark.parametrize(
    "rest",
    [
        {"timestep": torch.tensor(2)},
        {"timestep": torch.tensor(2.0, dtype=torch.float64)},
        {"boxes": torch.zeros(2, 0)},
        {"boxes": torch.zeros(2, 0, dtype=torch.float64)},
        {"scale_mask": torch.tensor(0.5, dtype=torch.float64)},
        {"past": torch.zeros(0, 4, dtype=torch.long), "labels": torch.zeros(0)},
        {"pixel_values": torch.zeros(0, 3, 4, 4)},
    ],
    ids=lambda rest: ", ".join(f"{k} {v.dtype}" for k, v in rest.items()),
)
def test_only_what_is_explained_can_be_empty(rest: dict[str, Tensor]) -> None:
    model, x = draw(Beside()).double(), random(2, 6)
    found = lxt.attribute(model, {"x": x, **rest}, 0, ledger=True)
    factor = next((float(t) for t in rest.values() if t.dim() == 0 and t.is_floating_point()), 1.0)
    assert isinstance(found.relevance, Tensor)  # of x alone
    torch.testing.assert_close(found.relevance, factor * x * model.layer.weight[0].detach())
    assert found.ledger is not None
    assert found.ledger.closed
    smooth = lxt.methods.integrated_gradients(model, {"x": x, **rest}, 0, steps=3)
    torch.testing.assert_close(smooth.relevance, found.relevance)


@pytest.mark.parametrize("given", [torch.zeros(0, 6), torch.tensor(1.0), torch.zeros(2, 0).long()])
def test_what_is_explained_is_not_empty(given: Tensor) -> None:
    for inputs_, name in ((given, "input"), ({"input_ids": given}, "input_ids")):
        with pytest.raises(InputError, match=f"^{name} is empty"):
            lxt.attribute(Beside(), inputs_, 0)
    if given.is_floating_point():
        with pytest.raises(InputError, match=r"^x is empty"):
            lxt.attribute(Beside(), {"x": given, "timestep": torch.tensor(3)}, 0)


CUT: dict[str, tuple[Any, Any]] = {
    "a graph": (
        lambda m, x, batch: torch.zeros(2).double().index_add(0, batch, classes(m, x)[:, 0]),
        {"x": random(5, 6), "batch": torch.tensor([0, 0, 1, 1, 1])},
    ),
    "every position": (lambda m, x: classes(m, x)[..., 0].flatten(), random(2, 3, 6)),
}


@pytest.mark.parametrize("name", CUT)
def test_scores_of_what_is_cut_otherwise(name: str) -> None:
    function, given = CUT[name]
    got = lxt.attribute(draw(Plain(function)).double(), given, ledger=True)
    assert float(got.ledger.gap.abs().max()) < 1e-9
