"""One sample at a time, many copies of it at once: what the averaging methods share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from ..attribution import Attribution, attribute
from ..composites import Composite
from ..errors import InputError
from ..numerics import upcast
from ..patch.arguments import is_direct
from ..patch.inputs import module_of
from ..targets import Target, as_target, one, resolved


class Samples:
    """Explained inputs, sample by sample, with the target fixed on the clean input.

    Token ids become ``inputs_embeds``: averages are taken over embeddings.

    Attributes:
        clean: the attribution of the inputs as they are.
        names: the float inputs that are explained.
    """

    def __init__(
        self, model: Any, inputs: Any, target: Any, composite: str | Composite, strict: bool
    ) -> None:
        self.model = module_of(model)
        self.composite, self.strict = composite, strict
        self.single = isinstance(inputs, Tensor)
        given: dict[str, Any] = {"": inputs} if self.single else dict(inputs)
        self.tokens = "input_ids" in given
        if self.tokens:
            given["inputs_embeds"] = self._embedded(given.pop("input_ids"))
        self.inputs = given
        self.clean = self.run(given, target)
        self.names = [name for name, value in given.items() if is_direct(name, value)]
        self._refuse_ids()
        self._refuse_shared()
        made = as_target(target)
        self._target = made.fixed(lambda: self._predicted(made))
        self._check_rows()

    def __len__(self) -> int:
        return len(self.clean.score)

    def _embedded(self, ids: Tensor) -> Tensor:
        if "inputs_embeds" not in inspect.signature(self.model.forward).parameters:
            raise InputError(
                "this method averages over inputs, which token ids are not, and "
                f"{type(self.model).__name__} takes no inputs_embeds; explain a float input"
            )
        model: Any = self.model
        with torch.no_grad():
            found: Tensor = model.get_input_embeddings()(ids)
        return found

    def _refuse_ids(self) -> None:
        found = self.clean.relevance
        explained = list(found) if isinstance(found, Mapping) else self.names
        ids = [name for name in explained if name not in self.names]
        if ids or not explained:
            raise InputError(
                "this method averages over inputs, which token ids are not: got "
                f"{', '.join(ids) or 'a tensor of them'}; give their embeddings, or the only ids "
                "by name, as input_ids"
            )

    def _refuse_shared(self) -> None:
        for name in self.names:
            shape = tuple(self.inputs[name].shape)
            if shape[0] != len(self):
                raise InputError(
                    f"this method changes its inputs sample by sample, and {name or 'the input'} "
                    f"{shape} has no row for each of the {len(self)} samples; give it one"
                )

    def _check_rows(self) -> None:
        """Raise unless copies of a sample score as the sample does in its batch."""
        scores, last, why = self.clean.score.double(), len(self) - 1, ""
        try:
            twice = {n: v.repeat_interleave(2, 0) for n, v in self.values(last).items()}
            away = (self.score(last, twice).double() - scores[last]).abs().max()
            same = bool(away <= 0.05 * scores.abs().max())
        except RuntimeError as e:
            same, why = False, f" ({e})"
        if not same:
            long = [n for n, v in self.inputs.items() if isinstance(v, Tensor) and v.dim()]
            raise InputError(
                "this method runs copies of one sample, and they do not score as that sample does "
                f"in its batch{why}: of {', '.join(filter(None, long)) or 'the input'}, what is "
                f"{len(self)} long is taken to hold a row for each sample; give what all samples "
                "share an axis of samples"
            )

    def run(self, given: Mapping[str, Any], target: Any) -> Attribution:
        """The attribution of any rows."""
        call = given[""] if self.single else given
        return attribute(self.model, call, target, self.composite, strict=self.strict)

    def target(self, i: int) -> Target:
        """The target of sample ``i`` alone, for any number of copies."""
        found: Target = one(self._target, i, len(self))
        return found

    def _predicted(self, made: Target) -> list[int]:
        """The classes that the clean inputs are predicted to have where the target looks."""
        logits = made.read(self.clean.output, self.inputs)
        found: list[int] = logits.argmax(-1).tolist()
        return found

    def values(self, i: int) -> dict[str, Tensor]:
        """The explained inputs of sample ``i``, [1, ...] each."""
        return {n: self.inputs[n][i : i + 1].detach() for n in self.names}

    def copies(self, i: int, n: int, changed: Mapping[str, Tensor]) -> dict[str, Any]:
        """``n`` copies of sample ``i``, with the explained inputs replaced."""
        made = {}
        for name, value in self.inputs.items():
            if name in changed:
                made[name] = changed[name]
            elif isinstance(value, Tensor) and value.dim() and len(value) == len(self):
                made[name] = value[i : i + 1].expand(n, *value.shape[1:]).contiguous()
            else:
                made[name] = value
        return made

    def attributions(
        self, i: int, n: int, change: Callable[[str, Tensor], Tensor], batch_size: int
    ) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]]:
        """(inputs, gradients, relevances) of changed copies, ``batch_size`` rows at a time.

        ``change``: (name of the input, clean copies of it [rows, ...]) -> changed copies.
        """
        clean = self.values(i)
        for start in range(0, n, batch_size):
            rows = min(batch_size, n - start)
            changed = {
                name: change(name, value.expand(rows, *value.shape[1:]).clone())
                for name, value in clean.items()
            }
            found = self.run(self.copies(i, rows, changed), self.target(i))
            yield changed, self.named(found.gradient), self.named(found.relevance)

    @torch.no_grad()
    def score(self, i: int, changed: Mapping[str, Tensor]) -> Tensor:
        """The scores [rows] of copies of sample ``i`` with the explained inputs replaced."""
        rows = len(next(iter(changed.values())))
        call = self.copies(i, rows, changed)
        output = self.model(call[""]) if self.single else self.model(**call)
        return resolved(self.target(i), self.model, output, call).score

    def named(self, found: Any) -> dict[str, Tensor]:
        """A result by the name of its input."""
        return dict(found) if isinstance(found, Mapping) else {self.names[0]: found}

    def result(
        self, relevance: Mapping[str, Tensor], gradient: Mapping[str, Tensor] | None
    ) -> Attribution:
        """As :func:`lxt.attribute` returns it; per token for token ids."""
        shown = {n: r.sum(-1) if self.tokens else r for n, r in relevance.items()}
        return replace(
            self.clean,
            relevance=_alone(shown),
            gradient=None if gradient is None else _alone(gradient),
        )


def _alone(found: Mapping[str, Tensor]) -> Any:
    return next(iter(found.values())) if len(found) == 1 else dict(found)


def straight(x: Tensor, gradient: Tensor, relevance: Tensor) -> Tensor:
    """The relevance that first-layer rules gave without a gradient."""
    return relevance - upcast(x) * upcast(gradient)


def check_count(name: str, value: Any) -> None:
    """Raise InputError unless ``value`` is a positive whole number."""
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < 1:
        raise InputError(f"{name} must be a positive whole number, got {value!r}")
