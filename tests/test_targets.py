"""Targets: which number is explained, for whom, and the errors of those that do not exist."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import lxt_like as lxt
from lxt_like.errors import InputError, SampleTargetError, TargetError
from lxt_like.evaluate.labels import Labels
from lxt_like.outputs import logits_of
from lxt_like.targets import as_target, class_names
from tests.models import zoo
from tests.models.tiny import build, inputs
from tests.oracles.arrays import relative_error
from tests.support import closing_error, random

LOGITS = torch.tensor([[1.0, 3.0, 2.0], [4.0, -1.0, 0.5]])
NAMES = {0: "negative", 1: "neutral", 2: "Positive"}


@pytest.mark.parametrize(
    ("given", "indices", "labels"),
    [
        (None, [1, 0], ("neutral", "negative")),
        (2, [2, 2], ("Positive", "Positive")),
        (-1, [2, 2], ("Positive", "Positive")),
        ("Positive", [2, 2], ("Positive", "Positive")),
        ("positive", [2, 2], ("Positive", "Positive")),
        ([0, "neutral"], [0, 1], ("negative", "neutral")),
        (torch.tensor([2, 0]), [2, 0], ("Positive", "negative")),
        (torch.tensor(1), [1, 1], ("neutral", "neutral")),
        (np.int64(1), [1, 1], ("neutral", "neutral")),
        ([np.int32(1), -1], [1, 2], ("neutral", "Positive")),
        (np.array([0, -1]), [0, 2], ("negative", "Positive")),
        (np.array(["neutral", "negative"]), [1, 0], ("neutral", "negative")),
        (np.array(1), [1, 1], ("neutral", "neutral")),
        (lxt.Logit(np.array([1, 0])), [1, 0], ("neutral", "negative")),
        (lxt.Logit("neutral"), [1, 1], ("neutral", "neutral")),
    ],
)
def test_classes(given: Any, indices: list[int], labels: tuple[str, ...]) -> None:
    got = as_target(given).resolve(LOGITS, NAMES)
    assert got.indices.tolist() == indices
    assert got.labels == labels
    assert got.score.tolist() == LOGITS[[0, 1], indices].tolist()
    assert got.describe(1) == (labels[1], indices[1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "index 3 is out of range: the model has 3 classes"),
        (-4, "out of range"),
        ("great", "unknown class 'great'; the model's classes are 'negative', 'neutral'"),
        (True, "a class index or name, got bool"),
        (1.0, "a class index or name, got float"),
        (np.True_, "a class index or name, got bool"),
        ([0], "got 1 targets for a batch of 2"),
        (torch.tensor([0.0, 1.0]), "one class index per sample, got torch.float32"),
        (torch.tensor([[0, 1]]), r"of shape \(1, 2\)"),
        (lxt.Contrast(0, "great"), "unknown class 'great'"),
        (np.array([0.0, 1.0]), "holds a class index or name for each sample, got float: 0.0"),
        ([0, None], "holds a class index or name for each sample, got NoneType"),
        ([lxt.LogProb(1), 0], "got LogProb: .* one by one"),
    ],
)
def test_unknown_classes(given: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        as_target(given).resolve(LOGITS, NAMES)


def test_ambiguous_names_need_their_case() -> None:
    names = {0: "US", 1: "us", 2: "x"}
    assert as_target("us").resolve(LOGITS, names).indices.tolist() == [1, 1]
    for given, known in (("Us", names), ("x", {0: "x", 1: "b", 2: "x"})):
        with pytest.raises(
            TargetError, match=rf"'{given}' is ambiguous: outputs 0 and .*the index"
        ):
            as_target(given).resolve(LOGITS, known)


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ("sea lion", 0), ("SEA_LION", 0), (" Sea  lion ", 0), ("sea - lion", None),
        ("Sea-Lion", 0), ("tabby", 1), ("tabby cat", 1), ("cat", None),
        ("score 1", 2), ("score -1", 3), ("score_-1", 3), ("Score-1", 2), ("", None),
        ("STRASSE", 4), ("-1", None), ("1", 5), ("1_", 5),
    ],
)  # fmt: skip
def test_a_name_in_another_spelling(given: str, index: int | None) -> None:
    called = ("Sea_lion", "tabby, tabby-cat, cat", "score 1", "score -1", "straße, cat", "1")
    names = dict(enumerate(called))
    logits = random(1, len(called))
    if index is None:
        with pytest.raises(TargetError, match="unknown class"):
            as_target(given).resolve(logits, names)
    else:
        assert as_target(given).resolve(logits, names).indices.tolist() == [index]
    assert Labels(called).index(given) == index


def test_one_class_is_no_classes() -> None:
    with pytest.raises(TargetError, match=r"the model has 1 class$"):
        as_target(3).resolve(LOGITS[:, :1], {})


def test_many_classes_are_abbreviated() -> None:
    with pytest.raises(TargetError, match="and 80 more"):
        as_target("x").resolve(random(1, 100), {i: f"c{i}" for i in range(100)})
    with pytest.raises(TargetError, match="none: give an index"):
        as_target("x").resolve(LOGITS, {})


def test_contrast() -> None:
    got = lxt.Contrast("Positive", 0).resolve(LOGITS, NAMES)
    assert got.score.tolist() == [1.0, -3.5]
    assert got.labels[0] == "Positive rather than negative"
    assert got.describe(0) == ("Positive rather than negative", None)


def test_a_contrast_is_the_difference_of_its_parts() -> None:
    model, batch = build("bert"), inputs("bert")
    parts = [lxt.attribute(model, batch, c, "cp_lrp").relevance for c in (0, 1)]
    got = lxt.attribute(model, batch, lxt.Contrast(0, 1), "cp_lrp", ledger=True)
    assert relative_error(got.relevance, parts[0] - parts[1]) < 1e-5
    assert got.ledger.closed


@pytest.mark.parametrize("target", [lxt.LogProb(), lxt.LogProb(2)])
def test_log_probability_closes(target: lxt.LogProb) -> None:
    model, batch = build("bert", dtype=torch.float64), inputs("bert")
    got = lxt.attribute(model, batch, target, "cp_lrp", ledger=True)
    p = torch.softmax(model(**batch).logits, -1)
    assert closing_error(got.ledger) < 1e-12
    assert relative_error(got.ledger.entries["softmax"], (p * p.log()).sum(-1)) < 1e-12


@pytest.mark.parametrize("target", [lxt.LogOdds(), lxt.LogOdds(2)])
def test_log_odds_close(target: lxt.LogOdds) -> None:
    model, batch = build("bert", dtype=torch.float64), inputs("bert")
    got = lxt.attribute(model, batch, target, "cp_lrp", ledger=True)
    p = torch.softmax(model(**batch).logits, -1)
    at = p.argmax(-1) if target.c is None else torch.tensor([2, 2])
    mine = p[torch.arange(2), at]
    assert relative_error(got.score, (mine / (1 - mine)).log()) < 1e-12
    q = torch.where(torch.arange(3) == at[:, None], 0, p) / (1 - mine)[:, None]
    assert relative_error(got.ledger.entries["softmax"], torch.xlogy(q, q).sum(-1)) < 1e-12
    assert closing_error(got.ledger) < 1e-12
    weights = [lxt.attribute(model, batch, c, "cp_lrp").relevance for c in range(3)]
    wanted = sum(
        ((torch.arange(3) == at[:, None]).double() - q)[:, c, None] * weights[c] for c in range(3)
    )
    assert relative_error(got.relevance, wanted) < 1e-10


def test_log_odds_of_two_classes_are_their_contrast() -> None:
    net = torch.nn.Linear(4, 2).double()
    x = torch.randn(3, 4, dtype=torch.float64)
    one = lxt.attribute(net, x, lxt.LogOdds(1), ledger=True)
    other = lxt.attribute(net, x, lxt.Contrast(1, 0), ledger=True)
    assert torch.allclose(one.relevance, other.relevance, atol=1e-12)
    assert one.ledger.entries.keys() == other.ledger.entries.keys() == {"bias"}
    with pytest.raises(TargetError, match="two classes or more"):
        lxt.attribute(torch.nn.Linear(4, 1), torch.randn(1, 4), lxt.LogOdds(0))


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
def test_probabilities_of_a_multi_label_head_are_sigmoids(composite: str) -> None:
    model, batch = build("bert", dtype=torch.float64), inputs("bert")
    model.config.problem_type = "multi_label_classification"
    z = model(**batch).logits[:, 2].detach()
    p = z.sigmoid()
    plain = lxt.attribute(model, batch, 2, composite).relevance
    got = lxt.attribute(model, batch, lxt.LogProb(2), composite, ledger=True)
    assert relative_error(got.score, p.log()) < 1e-12
    assert relative_error(got.relevance, (1 - p)[:, None] * plain) < 1e-10
    assert closing_error(got.ledger) < 1e-12
    alone = lxt.attribute(model, batch, 2, composite, ledger=True).ledger.entries
    kept = got.ledger.entries["softmax"] - (1 - p) * alone.get("softmax", torch.zeros(2))
    assert relative_error(kept, p * p.log() + (1 - p) * (1 - p).log()) < 1e-10
    odds = lxt.attribute(model, batch, lxt.LogOdds(2), composite, ledger=True)
    assert relative_error(odds.score, (p / (1 - p)).log()) < 1e-10
    assert relative_error(odds.relevance, plain) < 1e-10
    assert closing_error(odds.ledger) < 1e-12


def test_far_logits_of_a_multi_label_head_stay_finite() -> None:
    net = torch.nn.Linear(1, 2)
    net.config = SimpleNamespace(problem_type="multi_label_classification")
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[400.0], [-400.0]]))
    for c, score in ((0, 0.0), (1, -400.0)):
        got = lxt.attribute(net, torch.ones(1, 1), lxt.LogProb(c), ledger=True)
        assert float(got.score) == pytest.approx(score, abs=1.0)
        assert got.ledger.closed


@pytest.mark.parametrize("target", [lxt.LogProb(0), lxt.LogOdds(0)])
def test_values_have_no_probability(target: Any) -> None:
    model, batch = build("bert"), inputs("bert")
    model.config.problem_type = "regression"
    with pytest.raises(TargetError, match=r"regression head .* values without a probability"):
        lxt.attribute(model, batch, target)
    with pytest.raises(TargetError, match=r"two classes or more .* one output"):
        lxt.attribute(torch.nn.Linear(4, 1), torch.randn(1, 4), target)


def test_functions_of_the_logits() -> None:
    model, batch = build("bert"), inputs("bert")
    got = lxt.attribute(model, batch, lambda z: z[:, 0] - 2 * z[:, 2], "cp_lrp", ledger=True)
    assert got.ledger.closed
    for bad in (lambda z: z, lambda z: z.sum(), lambda z: 1.0):
        with pytest.raises(TargetError, match=r"a tensor of shape \[batch\] = \[2\]"):
            lxt.attribute(model, batch, bad)
    with pytest.raises(lxt.errors.UnruledError, match="SoftmaxBackward"):
        lxt.attribute(model, batch, lambda z: z.softmax(-1)[:, 0])


def test_class_names() -> None:
    assert class_names(build("bert")) == {i: f"LABEL_{i}" for i in range(3)}
    assert class_names(torch.nn.Linear(1, 1)) == {}
    assert class_names(build("bert"), 3) == class_names(build("bert"))
    assert class_names(build("bert"), 4) == {}


def test_the_outputs_of_a_language_model_have_no_class_names() -> None:
    """Every configuration of transformers has two, also where its head has other outputs."""
    model = zoo.build("gpt2", "causal-lm")
    batch = zoo.example(model)
    assert model.config.id2label[1] == "LABEL_1"
    for target in (1, lxt.LogProb(1), lxt.Contrast(1, 0), lxt.targets.Token(0, 1)):
        label = lxt.attribute(model, batch, target).target.labels[0]
        assert "LABEL" not in label
        assert "1" in label
    for run in (lxt.attribute, lxt.occlusion):
        with pytest.raises(TargetError, match=r"unknown class 'LABEL_0'.* none: give an index"):
            run(model, batch, "LABEL_0")


@pytest.mark.parametrize("side", ["left", "right"])
def test_language_models_are_read_at_the_last_real_token(side: Any) -> None:
    batch = inputs("llama", padded=side)
    logits = random(2, 9, 5)
    got = logits_of({"logits": logits}, batch)
    last = [8, 8] if side == "left" else [8, 5]
    assert torch.equal(got, logits[[0, 1], last])


RAGGED = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


@pytest.mark.parametrize(
    ("length", "given", "last"),
    [
        (8, {}, [7, 5]),  # three tokens of the model's own in front
        (3, {"logits_to_keep": 3}, [2, 0]),
        (6, {"logits_to_keep": 6}, [5, 3]),
        (3, {"num_logits_to_keep": 3}, [2, 0]),
        (3, {"logits_to_keep": torch.tensor([0, 4, 2])}, [1, 2]),
        (2, {"logits_to_keep": torch.tensor([2, -1])}, [1, 0]),
    ],
)
def test_more_or_fewer_logits_than_tokens(
    length: int, given: dict[str, Any], last: list[int]
) -> None:
    logits = random(2, length, 5)
    got = logits_of({"logits": logits}, {"attention_mask": RAGGED, **given})
    assert torch.equal(got, logits[[0, 1], last])
    left = {"attention_mask": RAGGED.flip(1), **given}
    if not isinstance(given.get("logits_to_keep"), torch.Tensor):
        assert torch.equal(logits_of({"logits": logits}, left), logits[:, -1])


@pytest.mark.parametrize(
    ("length", "given"),
    [
        (2, {"logits_to_keep": 2}),
        (3, {}),
        (3, {"logits_to_keep": 1}),
        (1, {"logits_to_keep": 1}),
        (2, {"logits_to_keep": torch.tensor([3, 4])}),
    ],
)
def test_logits_that_no_token_can_be_told_of(length: int, given: dict[str, Any]) -> None:
    said = f"logits for {length} positions of 5 tokens, .* pad at the front"
    with pytest.raises(InputError, match=said):
        logits_of({"logits": random(2, length, 5)}, {"attention_mask": RAGGED, **given})
    full = {"attention_mask": torch.ones(2, 5), **given}
    logits = random(2, length, 5)
    assert torch.equal(logits_of({"logits": logits}, full), logits[:, -1])


def test_an_encoders_mask_is_not_its_decoders() -> None:
    logits = random(2, 3, 5)
    output = {"logits": logits, "encoder_last_hidden_state": random(2, 5, 4)}
    assert torch.equal(logits_of(output, {"attention_mask": RAGGED}), logits[:, -1])


def test_a_decoder_that_reads_the_labels() -> None:
    """Its last place is that of the last label, however long the source is."""
    logits, labels = random(2, 5, 7), torch.tensor([[1, 2, -100, -100, -100], [3, 1, 4, 1, -100]])
    output = {"logits": logits, "encoder_last_hidden_state": random(2, 5, 4)}
    given = {"attention_mask": torch.ones(2, 5), "labels": labels}
    expected = torch.stack([logits[0, 1], logits[1, 3]])
    assert torch.equal(logits_of(output, given), expected)
    given = {"attention_mask": torch.ones(2, 5), "labels": torch.tensor([0, 1])}  # a classifier's
    assert torch.equal(logits_of(output, given), logits[:, -1])


def test_logits_of_other_outputs() -> None:
    flat = random(4)
    assert logits_of(flat, {}).shape == (4, 1)
    assert logits_of((LOGITS, None), {}) is LOGITS
    assert torch.equal(logits_of(random(2, 9, 5), {}), random(2, 9, 5)[:, -1])
    for output, message in (
        ({"last_hidden_state": LOGITS}, "no logits, only last_hidden_state"),
        ("text", "got str"),
        (random(1, 2, 3, 4), r"got \(1, 2, 3, 4\)"),
    ):
        with pytest.raises(InputError, match=message):
            logits_of(output, {})


def test_a_contrast_needs_two_classes() -> None:
    with pytest.raises(TargetError, match="needs two classes, got 'LABEL_1'"):
        lxt.attribute(build("bert"), inputs("bert"), lxt.Contrast("LABEL_1", 1))


@pytest.mark.parametrize(
    ("given", "own"),
    [
        (lxt.Contrast(2, "positive"), False),
        (lxt.Contrast(np.array(2), 2), False),
        (lxt.Contrast(None, "neutral"), True),
        (lxt.Contrast([0, 1], 1), True),
        (lxt.Contrast(1, torch.tensor([0, 1])), True),
        (lxt.Contrast(np.array([0, 1]), (1, 1)), True),
        (lxt.Contrast(0, None), True),  # type: ignore[arg-type]
    ],
)
def test_a_contrast_of_one_class_is_the_targets_fault_or_a_samples(given: Any, own: bool) -> None:
    with pytest.raises(TargetError) as caught:
        given.resolve(LOGITS, NAMES)
    assert isinstance(caught.value, SampleTargetError) == own


NO_POSITIONS: list[Any] = [
    *(1.7, 1.0, True, np.True_, np.float64(1), [1.2, 1], [True, False], [None, 1], ["a", 1]),
    *(torch.tensor(2.5), torch.tensor([1.5, 2]), torch.tensor([True, False]), torch.tensor(True)),
    *([[1], [2]], torch.tensor([[1, 2]]), np.array([[1, 2]]), np.array([0.5, 1]), {1, 2}, b"ab"),
    iter([1, 2]),
]


def test_a_token_is_a_target_on_its_own_logits() -> None:
    logits = torch.arange(24.0).reshape(2, 4, 3)
    names = {0: "O", 1: "PER", 2: "LOC"}
    for at in (
        *(1, -3, [1, 1], (1, -3), np.int64(1), [np.int32(1), 1]),
        *(np.array(1), np.array([1, -3]), torch.tensor(1), torch.tensor([1, 1])),
    ):
        target = lxt.targets.Token(at, "PER")
        read = target.read({"logits": logits}, {})
        assert torch.equal(read, logits[:, 1])
        resolved = target.resolve(read, names)
        assert torch.equal(resolved.score, logits[:, 1, 1])
        assert resolved.labels == ("PER", "PER")
    contrast = lxt.targets.Token(0, lxt.Contrast("LOC", "O"))
    assert contrast.resolve(contrast.read({"logits": logits}, {}), names).score.tolist() == [2, 2]
    for at, said in (
        (4, "position 4 is out of range: there are 4 tokens"),
        ([1], "got 1 positions for a batch of 2"),
        ("word", "lxt.explain knows words"),
        (None, "lxt.explain knows words"),
        *((at, "expected a token's position, a whole number") for at in NO_POSITIONS),
        (torch.tensor([1]), "got 1 positions for a batch of 2"),
        (range(3), "got 3 positions for a batch of 2"),
    ):
        with pytest.raises(TargetError, match=said):
            lxt.targets.Token(at).read({"logits": logits}, {})
    with pytest.raises(InputError, match=r"\[batch, tokens, classes\], got shape \(2, 4\)"):
        lxt.targets.Token(0).read({"logits": logits[..., 0]}, {})
    with pytest.raises(TargetError, match=r"lxt\.explain, which knows the context"):
        lxt.targets.Answer("x").read({"logits": logits}, {})
