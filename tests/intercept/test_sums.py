"""One backward for a whole batch: each sample's account is that of a backward of its own."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lxt_like as lxt
from lxt_like.intercept.sums import Sums
from lxt_like.ledger import Ledger
from lxt_like.numerics import Amount, inner
from tests.models import zoo
from tests.models.tiny import FAMILIES, build, inputs
from tests.support import COMPOSITES, random


class Backwards:
    """How many there were of a batch, and of a sample."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, one_by_one: bool = False) -> None:
        self.begun: list[int | None] = []
        begin = Sums.begin

        def counted(sums: Sums, samples: int, sample: int | None) -> None:
            self.begun.append(sample)
            begin(sums, samples, sample)
            sums.mixed = one_by_one

        monkeypatch.setattr(Sums, "begin", counted)

    @property
    def together(self) -> bool:
        """Whether the backward of all was enough."""
        return self.begun == [None]


def one_by_one(monkeypatch: pytest.MonkeyPatch, *args: Any, **options: Any) -> Any:
    """``attribute`` with a ledger, by a backward for each sample."""
    with monkeypatch.context() as patched:
        counted = Backwards(patched, one_by_one=True)
        got = lxt.attribute(*args, ledger=True, **options)
    assert counted.begun[1:] == list(range(len(got.score)))
    return got


def assert_same(got: Any, want: Any, tolerance: float) -> None:
    one, other = got.ledger, want.ledger
    assert isinstance(one, Ledger)
    assert set(one.entries) == set(other.entries)
    assert set(one.positions) == set(other.positions)
    scale = float(other.score.abs().max() + sum(v.abs().max() for v in other.entries.values()))
    pairs = [(one.score, other.score), (one.inputs, other.inputs), (one.gap, other.gap)]
    pairs += [(one.entries[cause], other.entries[cause]) for cause in one.entries]
    pairs += [(one.positions[path], other.positions[path]) for path in one.positions]
    pairs += [(a, b) for a, b in zip(parts(got), parts(want), strict=True)]
    for a, b in pairs:
        assert a.shape == b.shape
        assert float((a - b).abs().max()) <= tolerance * max(scale, 1e-3)


def parts(got: Any) -> list[Tensor]:
    found = got.relevance
    found = list(found.values()) if isinstance(found, dict) else [found]
    return [*found, *got.layers.values(), *got.heads.values()]


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", FAMILIES)
def test_families(name: str, composite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = build(name), inputs(name, padded="right")
    want = one_by_one(monkeypatch, model, batch, [1, 2], composite)
    counted = Backwards(monkeypatch)
    got = lxt.attribute(model, batch, [1, 2], composite, ledger=True)
    assert counted.together
    assert_same(got, want, 1e-6)


@pytest.mark.parametrize("composite", ["attnlrp", "gradient"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_accounts_that_do_not_close(
    name: str, dtype: torch.dtype, composite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For coarse numbers, or for want of rules: what is booked for the first tells."""
    model, batch = build(name).to(dtype), inputs(name, padded="right")
    options: dict[str, Any] = {"composite": composite, "strict": False, "layers": ["*layer*0"]}
    want = one_by_one(monkeypatch, model, batch, [1, 2], **options)
    counted = Backwards(monkeypatch)
    got = lxt.attribute(model, batch, [1, 2], ledger=True, **options)
    assert counted.together
    assert got.ledger.backwards == (1 if (dtype, composite) == (torch.float32, "attnlrp") else 3)
    assert_same(got, want, 1e-6 if dtype == torch.float32 else 1e-4)


# positions, token types and prefix tokens; batches on the second axis; windows; convolutions
@pytest.mark.parametrize(
    "kind", ["vit", "swin", "xlnet", "t5", "bart", "clip", "whisper", "convnext", "dinov2", "mamba"]
)
def test_types(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = next(t for t, types in zoo.TASKS.items() if kind in types)
    model = zoo.build(kind, task)
    batch = zoo.example(model, batch=3)
    want = one_by_one(monkeypatch, model, batch, strict=False)
    got = lxt.attribute(model, batch, ledger=True, strict=False)
    assert_same(got, want, 1e-5)


class Turned(nn.Module):
    """Works on [tokens, batch, width], where the batch is not what one axis after another says."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.one(x.transpose(0, 1)))
        return self.two(hidden).transpose(0, 1).mean(1)


@pytest.mark.parametrize("tokens", [4, 5])
def test_batches_on_another_axis(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 tokens of 2 samples would be cut into 2 times 2 tokens: the accounts do not close."""
    model, x = Turned().double().eval(), random(2, tokens, 4)
    want = one_by_one(monkeypatch, model, x)
    counted = Backwards(monkeypatch)
    got = lxt.attribute(model, x, ledger=True, layers=["one"])
    assert counted.begun == [None, 0, 1]
    assert got.ledger.backwards == 3
    assert_same(got, lxt.attribute(model, x, ledger=True, layers=["one"]), 1e-12)
    assert torch.allclose(got.relevance, want.relevance, rtol=0, atol=1e-12)
    for i in range(2):
        alone = lxt.attribute(model, x[i : i + 1], int(got.target.indices[i]), ledger=True)
        assert got.ledger.entries["bias"][i] == pytest.approx(float(alone.ledger.entries["bias"]))
        assert torch.allclose(got.relevance[i], alone.relevance[0], rtol=0, atol=1e-12)


class Mixing(nn.Module):
    """A sample's score depends on the other's input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x - x.mean(0, keepdim=True) / 2)


def test_samples_that_depend_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Mixing().double().eval(), random(3, 4)
    want = one_by_one(monkeypatch, model, x)
    counted = Backwards(monkeypatch)
    got = lxt.attribute(model, x, ledger=True)
    assert not counted.together
    assert_same(got, want, 1e-12)
    assert got.ledger.closed


class Constants(nn.Module):
    """What every sample shares: biases, a table, a token in front, numbers, a masked-out rest."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 4))
        self.positions = nn.Parameter(torch.randn(6, 4))
        self.scale, self.net = nn.Parameter(torch.randn(4)), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.positions
        x = 1.5 - F.silu(self.net(x) + self.scale) + self.scale[None]
        x += self.positions[:1]
        x = torch.where(x > 2.5, self.scale[0], x)
        return F.layer_norm(x, (4,), self.scale, self.scale)[:, 0] + 2


@pytest.mark.parametrize("samples", [2, 3, 6])
def test_what_all_samples_share(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Constants().double().eval(), random(samples, 5, 4)
    masks = {"net": torch.tensor([1.0, 0.5, 0.0, 1.0])}
    want = one_by_one(monkeypatch, model, x, masks=masks)
    counted = Backwards(monkeypatch)
    got = lxt.attribute(model, x, masks=masks, ledger=True)
    assert counted.together
    assert got.ledger.backwards == 1
    assert_same(got, want, 1e-12)
    assert {"cls", "position", "masked", "bias", "constant"} <= set(got.ledger.entries)
    assert got.ledger.positions


def test_amounts() -> None:
    x, g = random(6, 4), random(6, 4)
    made = 2.0 * inner(x, g) - inner(x[:3], g[:3])
    want = 2 * (x * g).reshape(3, -1).sum(1) - (x[:3] * g[:3]).sum(1)
    assert made.each(3) == pytest.approx(want.tolist())
    assert float(made) == pytest.approx(float(want.sum()))
    assert made.each(2) is None  # three rows are not two samples
    assert inner(x.sum(), g.sum()).each(2) is None
    assert Amount().each(2) == [0.0, 0.0]
    assert float(Amount.of(torch.zeros(2, 0))) == float(Amount.of(torch.zeros(0, 2))) == 0.0


def test_masked_scores_carry_nothing() -> None:
    x, g = torch.tensor([[1.0, -torch.inf], [2.0, 3.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert inner(x, g).each(2) == [1.0, 5.0]
    assert float(inner(x, g)) == 6.0


def test_bare_numbers_are_taken_one_by_one() -> None:
    sums, into = Sums(), {0: 0.0, 1: 0.0}
    sums.begin(2, None)
    sums.book(into, 1.0)
    assert sums.mixed
    sums.clear()
    sums.begin(2, 1)
    sums.book(into, 1.0)
    with sums.aside():
        sums.book(into, 5.0)
    assert (into, sums.mixed) == ({0: 0.0, 1: 1.0}, False)


class Probe:
    pass


def test_the_graph_is_let_go() -> None:
    """The graph is kept for a second backward that may not come."""
    model, x = Constants().double().eval(), random(3, 5, 4)
    seen: list[Any] = []

    def hook(module: nn.Module, args: Any, out: Tensor) -> None:
        probe = Probe()
        assert out.grad_fn is not None
        out.grad_fn.metadata["probe"] = probe  # lives as long as the node
        seen.append(weakref.ref(probe))

    handle = model.net.register_forward_hook(hook)
    lxt.attribute(model, x, ledger=True)
    handle.remove()
    gc.collect()
    assert [ref() for ref in seen] == [None]
