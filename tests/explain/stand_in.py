"""A stand-in for the attribution engine: plain gradient times input at the word embeddings.

It shares the engine's signature and the shape of its answer, and books as one entry what the
gradient leaves over, so that its accounts close by construction; what is tested with it is the
way from texts to explanations, not the mathematics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lxt_like.errors import TargetError
from lxt_like.explanation import Account
from lxt_like.targets import Logit


@dataclass(frozen=True)
class Contrast:
    """Class minus foil: a target that is no single class."""

    c: Any
    foil: Any


@dataclass(frozen=True)
class Resolved:
    indices: Tensor | None
    labels: list[str]

    def describe(self, i: int) -> tuple[str, int | None]:
        return self.labels[i], None if self.indices is None else int(self.indices[i])


@dataclass(frozen=True)
class Ledger:
    score: Tensor
    inputs: Tensor
    backwards: int = 1

    def account(self, i: int) -> Account:
        score, inputs = float(self.score[i]), float(self.inputs[i])
        return Account(score, inputs, {"rest": score - inputs}, gap=0.0)


@dataclass(frozen=True)
class Attribution:
    relevance: Tensor
    score: Tensor
    ledger: Ledger | None
    output: Any
    target: Resolved
    gradient: Tensor


class Engine:
    """Callable in place of ``attribute`` in ``explain/engine.py``; notes what it was asked."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Tensor]] = []
        self.options: list[dict[str, Any]] = []
        self.training: list[bool] = []
        self.backwards = 1

    def __call__(
        self, model: nn.Module, inputs: dict[str, Tensor], *, target: Any = None, **options: Any
    ) -> Attribution:
        self.batches.append(inputs)
        self.options.append(options)
        self.training.append(model.training)
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
            kept.append(output.detach().requires_grad_())
            return kept[0]

        handle = model.get_input_embeddings().register_forward_hook(keep)
        try:
            output = model(**inputs)
        finally:
            handle.remove()
        score, resolved = _score(model, output.logits, target)
        (gradient,) = torch.autograd.grad(score.sum(), kept)
        relevance = (kept[0] * gradient).sum(-1).detach()
        ledger = None
        if options.get("ledger"):
            ledger = Ledger(score.detach(), relevance.sum(-1), self.backwards)
        return Attribution(relevance, score.detach(), ledger, output, resolved, gradient)


def _score(model: nn.Module, logits: Tensor, target: Any) -> tuple[Tensor, Resolved]:
    if isinstance(target, Contrast):
        left, right = _score(model, logits, target.c), _score(model, logits, target.foil)
        labels = [f"{a} - {b}" for a, b in zip(left[1].labels, right[1].labels, strict=True)]
        return left[0] - right[0], Resolved(None, labels)
    if isinstance(target, Logit):
        return _score(model, logits, target.c)
    if logits.ndim == 3:  # a language model: the last position
        logits = logits[:, -1]
    names = model.config.id2label
    if target is None:
        indices = logits.argmax(-1)
    elif isinstance(target, list):
        parts = [_score(model, logits[i : i + 1], t)[1] for i, t in enumerate(target)]
        indices = torch.cat([p.indices for p in parts if p.indices is not None])
    elif isinstance(target, Tensor):
        indices = target.expand(len(logits))
    else:
        known = {name: i for i, name in names.items()}
        if isinstance(target, str) and target not in known:
            raise TargetError(f"no class {target!r}: expected one of {', '.join(known)}")
        index = known[target] if isinstance(target, str) else int(target)
        indices = torch.full((len(logits),), index)
    score = logits.gather(1, indices[:, None])[:, 0]
    return score, Resolved(indices, [names[int(i)] for i in indices])
