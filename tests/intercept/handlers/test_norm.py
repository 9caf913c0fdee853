"""Norms as modules, as functions and written inline: one relevance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import UnruledError
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, draw, inline, random

Body = Callable[[nn.Module, Tensor], Tensor]


def rms_by_hand(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def layer_norm_by_hand(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5)


def in_float32(x: Tensor) -> Tensor:
    """Hugging Face's RMSNorm: a float32 island."""
    wide = x.to(torch.float32)
    return rms_by_hand(wide).to(x.dtype)


SAME: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "rms": (rms_by_hand, lambda x: F.rms_norm(x, (6,), eps=1e-6)),
    "rms in place": (
        lambda x: (x + 0).mul_(torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)),
        lambda x: F.rms_norm(x, (6,), eps=1e-6),
    ),
    "layer norm": (layer_norm_by_hand, lambda x: F.layer_norm(x, (6,))),
    "by var": (
        lambda x: (x - x.mean(-1, True)) * torch.rsqrt(x.var(-1, False, True) + 1e-5),
        lambda x: F.layer_norm(x, (6,)),
    ),
    "by std": (
        lambda x: (x - x.mean(-1, True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt(),
        lambda x: F.layer_norm(x, (6,)),
    ),
    "normalize": (lambda x: x / x.norm(dim=-1, keepdim=True), lambda x: F.normalize(x, dim=-1)),
    "x /= x.norm()": (
        lambda x: (x + 0).div_(x.norm(dim=-1, keepdim=True)),
        lambda x: F.normalize(x, dim=-1),
    ),
    "linalg": (
        lambda x: x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-12),
        lambda x: F.normalize(x, dim=-1),
    ),
}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", SAME)
def test_inline_equals_the_function(name: str, composite: str) -> None:
    x = random(2, 6)
    got, want = (
        account(inline(lambda m, x, f=f: f(m.a(x))), x, composite=composite) for f in SAME[name]
    )
    assert relative_error(got.relevance, want.relevance) < 1e-11
    assert set(got.ledger.entries) == {"bias"}


def test_a_float32_island_loses_rounding() -> None:
    model = inline(lambda m, x: in_float32(m.a(x)))
    got = lxt.attribute(model, random(2, 6), 0, ledger=True)
    want = account(inline(lambda m, x: rms_by_hand(m.a(x))), random(2, 6))
    assert relative_error(got.relevance, want.relevance) < 1e-6
    rounding = got.ledger.entries["rounding"].abs()
    assert bool((rounding > 0).all())
    assert bool((rounding < 1e-6).all())
    assert bool((got.ledger.gap.abs() < 1e-6).all())


CLASSES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "LayerNorm": (lambda: nn.LayerNorm(6), (2, 3, 6)),
    "LayerNorm without a bias": (lambda: nn.LayerNorm(6, bias=False), (2, 3, 6)),
    "RMSNorm": (lambda: nn.RMSNorm(6), (2, 3, 6)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3, 3)),
    "InstanceNorm": (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4, 3, 3)),
    "InstanceNorm, running": (
        lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        (2, 4, 3, 3),
    ),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(6), (3, 6)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), (2, 4, 3, 3)),
    "BatchNorm2d, bare": (lambda: nn.BatchNorm2d(4, affine=False), (2, 4, 3, 3)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(4), (1, 4, 2, 2, 2)),
}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", CLASSES)
def test_modules(name: str, composite: str) -> None:
    make, shape = CLASSES[name]
    norm = make()
    for i, buffer in enumerate(norm.buffers()):
        if buffer.is_floating_point():
            buffer.copy_(random(*buffer.shape, seed=i).abs() + 0.5)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.head = norm, nn.Linear(_numel(shape), 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(x).flatten(1))

    ledger = account(draw(Net()).double(), random(*shape), composite=composite).ledger
    assert set(ledger.entries) == {"bias"}


def _numel(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape[1:]).numel())


@pytest.mark.parametrize("name", ["BatchNorm1d", "BatchNorm2d"])
def test_statistics_of_the_batch_are_refused(name: str) -> None:
    make, shape = CLASSES[name]
    model = nn.Sequential(make(), nn.Flatten(), nn.Linear(_numel(shape), 3)).train()
    with pytest.raises(UnruledError, match=r"batch norm uses the statistics.*model\.eval.*in 0"):
        lxt.attribute(model, random(*shape).float(), 0)


def test_a_batch_norm_without_running_statistics_is_told_from_training() -> None:
    x = torch.randn(4, 3, 5, 5)
    for norm, said in (
        (nn.BatchNorm2d(3, track_running_stats=False).eval(), "no running statistics .*GroupNorm"),
        (nn.BatchNorm2d(3, track_running_stats=False).train(), "no running statistics"),
        (nn.BatchNorm2d(3).train(), r"training mode.*call model\.eval\(\) first"),
    ):
        with pytest.raises(UnruledError, match=said):
            lxt.attribute(nn.Sequential(norm, nn.Flatten(), nn.Linear(75, 2)), x, 0)


STATISTICS = random(4, seed=3), random(4, seed=4).abs() + 0.1
Affine = tuple[Callable[..., Tensor], Callable[[Tensor], Tensor], tuple[int, ...]]
# the function of (x, weight, bias), the same without either, and the shape of weight and bias
AFFINE: dict[str, Affine] = {
    "layer_norm": (
        lambda x, w, b: F.layer_norm(x, (4,), w, b),
        lambda x: F.layer_norm(x, (4,)),
        (4,),
    ),
    "rms_norm": (
        lambda x, w, b: F.rms_norm(x, (4,), w, 1e-6),
        lambda x: F.rms_norm(x, (4,), eps=1e-6),
        (4,),
    ),
    "group_norm": (
        lambda x, w, b: F.group_norm(x, 2, w, b),
        lambda x: F.group_norm(x, 2),
        (4, 1),
    ),
    "torch.group_norm": (
        lambda x, w, b: torch.group_norm(x, 2, w, b),
        lambda x: F.group_norm(x, 2),
        (4, 1),
    ),
    "instance_norm": (
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        lambda x: F.instance_norm(x),
        (4, 1),
    ),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, *STATISTICS, w, b),
        lambda x: F.batch_norm(x, *STATISTICS),
        (4, 1),
    ),
    "torch.batch_norm": (
        lambda x, w, b: torch.batch_norm(x, w, b, *STATISTICS, False, 0.1, 1e-5, False),
        lambda x: F.batch_norm(x, *STATISTICS),
        (4, 1),
    ),
}


@pytest.mark.parametrize("composite", [*COMPOSITES, "epsilon", "gradient"])
@pytest.mark.parametrize("active", ["weight", "bias", "both", "weight of a constant", "both of it"])
@pytest.mark.parametrize("name", AFFINE)
def test_a_scale_or_shift_that_depends_on_the_input(name: str, active: str, composite: str) -> None:
    """A conditional norm is the norm without either, times gamma, plus beta."""
    function, normed, shape = AFFINE[name]
    constants = random(4, seed=1), random(4, seed=2)
    rms = name == "rms_norm"
    if rms and active == "bias":
        pytest.skip("rms_norm has no shift")

    def signal(m: nn.Module, x: Tensor) -> Tensor:
        return random(1, 4, 4, seed=5) if active.endswith(("constant", "it")) else m.a(x)

    def affine(m: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        found = m.b(x)[0, 0], m.c(m.a(x))[0, 1]
        weight = constants[0] if active == "bias" else found[0]
        bias = constants[1] if active.startswith("weight") else found[1]
        return weight, bias

    def called(m: nn.Module, x: Tensor) -> Tensor:
        return function(signal(m, x), *affine(m, x))

    def written(m: nn.Module, x: Tensor) -> Tensor:
        weight, bias = affine(m, x)
        out = normed(signal(m, x)) * weight.reshape(shape)
        return out if rms else out + bias.reshape(shape)

    models = [inline(body, 4) for body in (called, written)]
    for model in models:
        model.c = draw(nn.Linear(4, 4), 40).double()
    x = random(1, 4, 4)
    if composite == "gradient":
        got, want = (lxt.attribute(model, x, 0, composite) for model in models)
    else:
        got, want = (account(model, x, composite=composite) for model in models)
        for cause, amounts in want.ledger.entries.items():
            assert relative_error(got.ledger.entries[cause], amounts) < 1e-9, cause
    assert relative_error(got.relevance, want.relevance) < 1e-11
