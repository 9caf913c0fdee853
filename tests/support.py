"""What many tests need: small modules that write operations inline, and what must hold of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.attribution import Attribution
from lxt_like.ledger import Ledger
from lxt_like.rules.base import Declaration

COMPOSITES = ("attnlrp", "cp_lrp")
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 3e-5,
    torch.bfloat16: 5e-2,
    torch.float16: 1e-2,
}


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers that depend on the seed alone, whatever the dtype."""
    generator = torch.Generator().manual_seed(seed + 31 * len(shape) + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


class Books:
    """A book that evaluates what is declared and adds it up by cause."""

    def __init__(self) -> None:
        self.entries: dict[str, float] = {}

    def declare(self, output: Tensor, declaration: Declaration) -> None:
        def booked(g: Tensor) -> None:
            for cause, amount in declaration(g).items():
                self.entries[cause] = self.entries.get(cause, 0.0) + float(amount)

        output.register_hook(booked)


class Rounded(torch.autograd.Function):
    """A straight-through estimator, of which no mode sees anything."""

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        return (w * 8).round() / 8

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


def explained(out: Tensor, *inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """A random relevance out * g, and activation * gradient of the inputs, in float64."""
    g = random(*out.shape, seed=7, dtype=out.dtype)
    gradients = torch.autograd.grad(out, inputs, g, allow_unused=True)
    relevances = [
        torch.zeros_like(x, dtype=torch.float64) if d is None else x.detach().double() * d.double()
        for x, d in zip(inputs, gradients, strict=True)
    ]
    return out.detach().double() * g.double(), relevances


def draw(module: nn.Module, seed: int = 0) -> Any:
    """Every parameter drawn anew, none neutral; frozen, in eval mode: the same kernels run."""
    for i, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(False).copy_(0.5 * random(*parameter.shape, seed=seed + i))
    return module.eval()


class Bare(nn.Module):
    """``function`` as a model."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


bare = Bare


class Inline(nn.Module):
    """c(body(self, x)) with linears a, b, c at hand for the body; x: [batch, ..., width]."""

    def __init__(self, body: Callable[[Any, Tensor], Tensor], width: int = 6) -> None:
        super().__init__()
        self.a = nn.Linear(width, width)
        self.b = nn.Linear(width, width)
        self.c = nn.Linear(width, 3)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c(self.body(self, x))
        return out if out.dim() == 2 else out.flatten(1, -2).sum(1)


def inline(
    body: Callable[[Any, Tensor], Tensor], width: int = 6, dtype: torch.dtype = torch.float64
) -> Any:
    """An `Inline` with drawn weights."""
    return draw(Inline(body, width)).to(dtype)


def closing_error(ledger: Ledger) -> float:
    """max(gap, unruled) relative to the largest part of the account, over the batch."""
    parts = torch.stack([ledger.score, ledger.inputs, *ledger.entries.values()]).abs()
    return float((torch.maximum(ledger.gap.abs(), ledger.unruled) / parts.amax(0)).max())


def per_score(ledger: Ledger) -> float:
    """gap and unruled relative to the score, or to the inputs where the score nearly cancels."""
    scale = torch.maximum(ledger.score.abs(), ledger.inputs.abs())
    return float((torch.maximum(ledger.gap.abs(), ledger.unruled) / scale).max())


def account(
    model: nn.Module,
    inputs: Any,
    target: Any = 0,
    composite: Any = "attnlrp",
    *,
    tolerance: float = 1e-11,
    **options: Any,
) -> Attribution:
    """Explain, and assert what must hold of every explanation.

    The forward is unchanged bit for bit, nothing is unruled, the ledger closes, and the relevance
    with a ledger is the one without.
    """
    plain = call(model, inputs)
    measured = lxt.attribute(model, inputs, target, composite, ledger=True, **options)
    lean = lxt.attribute(model, inputs, target, composite, **options)
    for got in (measured, lean):
        assert torch.equal(logits(got.output), plain)
    assert measured.ledger is not None
    assert closing_error(measured.ledger) <= tolerance, str(measured.ledger)
    largest = lean.relevance.abs().max()
    assert (lean.relevance - measured.relevance).abs().max() <= 10 * tolerance * largest
    return measured


def call(model: nn.Module, inputs: Any) -> Tensor:
    """The plain model's logits, by the kernels that run where gradients are wanted."""
    if isinstance(inputs, Mapping):
        return logits(model(**inputs)).detach()
    return logits(model(inputs.clone().requires_grad_().clone())).detach()


def logits(output: Any) -> Tensor:
    """The logits of a transformers output, or the output itself."""
    return output.logits if hasattr(output, "logits") else output


@contextmanager
def trainable(*tensors: Tensor) -> Iterator[None]:
    """These parameters require grad meanwhile."""
    before = [t.requires_grad for t in tensors]
    for t in tensors:
        t.requires_grad_(True)
    try:
        yield
    finally:
        for t, flag in zip(tensors, before, strict=True):
            t.requires_grad_(flag)
            t.grad = None
