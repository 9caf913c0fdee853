"""``attribute``: patch -> forward -> seed -> backward -> relevance."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, MutableMapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .accounts import Accounts
from .composites import Composite
from .composites import composite as resolve_composite
from .composites.plan import Plan, PlanRow, static_plan
from .errors import (
    InputError,
    LxtError,
    ModelError,
    NumericalError,
    UnexplainedWarning,
    UnreachedWarning,
    UnruledError,
)
from .intercept import Step, now, types_of
from .intercept.measure import Measure
from .ledger import Audit, Ledger, make_rows
from .numerics import full_precision, is_finite
from .observe import Observer
from .outputs import is_flat
from .patch import Patch
from .patch.inputs import Inputs, module_of
from .patch.paths import other_paths
from .rules.base import last_backward
from .rules.live import Explained, all_frozen, explaining
from .targets import Resolved, Target, as_target, resolved


@dataclass(frozen=True)
class Attribution:
    """The relevance of a model's inputs for a score.

    Attributes:
        relevance: [batch, tokens] for token ids; a float input's own shape; a dict of both by
            name where a model has several inputs.  float32 or better, in units of the score.
        score: [batch], what was explained.
        target: the resolved target (``describe(i)``, ``indices``).
        ledger: the account, if it was asked for.
        layers: relevance at the named layers' outputs, in their own shapes.
        heads: relevance of attention heads [batch, heads, tokens] inside the named layers.
        output: the model's output, detached; without caches.
        gradient: the modified gradient at the explained inputs (embeddings, for token ids; of
            several tables one behind the other), in their own shapes.
            relevance = input * gradient, but for the rules of the first layer (z-box, w^2, flat),
            which give relevance without a gradient.
    """

    relevance: Any
    score: Tensor
    target: Resolved
    ledger: Ledger | None = None
    layers: Mapping[str, Tensor] = field(default_factory=dict)
    heads: Mapping[str, Tensor] = field(default_factory=dict)
    output: Any = field(default=None, repr=False)
    gradient: Any = field(default=None, repr=False)


def attribute(
    model: Any,
    inputs: Any,
    target: Any = None,
    composite: str | Composite = "attnlrp",
    *,
    ledger: bool = False,
    strict: bool = True,
    layers: Sequence[str] | None = None,
    masks: Mapping[str, float | Tensor] | None = None,
) -> Attribution:
    """Relevance of ``inputs`` for ``target``, by one forward and one backward.

    The ``.grad`` of nobody's tensors changes: not the model's, nor of weights that it does not own.

    Args:
        model: a ``torch.nn.Module``, a transformers pipeline, a local folder or a hub id.
        inputs: a tensor (the first positional argument) or a mapping of keyword arguments.
            Integer ``input_ids`` are explained at the output of the input embedding, float
            tensors (``pixel_values``, ``inputs_embeds``, features) directly.
        target: None (the predicted class; a language model's most likely next token), an
            index (a negative one counts from the last), a class name, one per sample, a function
            of the logits, or ``lxt.targets``.
        composite: a preset's name or a :class:`lxt.Composite`.
        ledger: keep the account; costs the memory of every value, and two to three times the time.
        strict: an operation without a rule is an error; False: plain gradient, one warning.
        layers: names or globs of modules whose output's relevance is wanted too; of several
            outputs, that of the first tensor that depends on what is explained.
        masks: name or glob -> factor on the relevance of that output: a number, or a tensor that
            broadcasts to it.

    Raises:
        InputError, TargetError, CompositeError: for arguments that do not fit; for layers and
            masks that name nothing in this forward (a glob: none of its modules).
        UnruledError: for an operation without a rule (strict).
        NumericalError: for NaN or infinity in the score or the relevance.
    """
    if ledger or not strict:
        measure = Measure() if ledger else None
        return _Run(model, inputs, composite, strict, layers, masks, measure).attribute(target)
    run = _Run(model, inputs, composite, strict, layers, masks, None, lean=True)
    try:
        return run.attribute(target)
    except UnruledError:
        if not run.lean:
            raise
    # once more: with every module saying when it runs, so that the message can name it, and with
    # weights told from signals by the graph
    return _Run(model, inputs, composite, strict, layers, masks, None).attribute(target)


def audit(
    model: Any,
    inputs: Any,
    target: Any = None,
    composite: str | Composite = "attnlrp",
    *,
    strict: bool = False,
) -> Audit:
    """Every operation that ran, its rule, what it kept and its residual; ``.ok`` if all closes.

    Arguments as in :func:`attribute`; operations without a rule are listed, not refused.
    """
    run = _Run(model, inputs, composite, strict, None, None, Measure())
    result = run.attribute(target)
    assert run.measure is not None and result.ledger is not None
    return Audit(make_rows(run.measure.records, len(result.score)), result.ledger)


def plan(model: Any, composite: str | Composite = "attnlrp", inputs: Any = None) -> Plan:
    """What ``composite`` will do to ``model``: module -> kind -> rule.

    With ``inputs``: every operation that meets a rule, in execution order.
    """
    module = module_of(model)
    made = resolve_composite(composite)
    if inputs is None:
        modules = ((name, types_of(m)) for name, m in module.named_modules())
        return static_plan(modules, made, other_paths(module))
    run = _Run(model, inputs, made, False, None, None, None)
    steps: list[Step] = []
    run.forward(steps)
    types = {name: type(m).__name__ for name, m in module.named_modules()}
    return Plan(
        tuple(PlanRow(s.path, types.get(s.path, ""), s.kind, repr(s.rule), s.op) for s in steps),
        repr(made),
    )


class _Run:
    """One explanation: the pieces that a forward and its backwards share."""

    def __init__(
        self,
        model: Any,
        inputs: Any,
        composite: str | Composite,
        strict: bool,
        layers: Sequence[str] | None,
        masks: Mapping[str, float | Tensor] | None,
        measure: Measure | None,
        lean: bool = False,
    ) -> None:
        self.model = module_of(model)
        self.composite = resolve_composite(composite)
        self.lean = lean and self.composite.by_kind
        self.explained = Explained(named=True)
        with torch.inference_mode(False), torch.enable_grad(), explaining(self.explained):
            self.begun = now()
            self.inputs = Inputs(self.model, inputs, bool(self.composite.first_layer))
        self.strict = strict
        self.measure = measure
        if measure is not None:
            measure.names = {id(t): n for n, t in _tensors_of_model(self.model)}
        self.observer = Observer(self.model, self.inputs, layers, masks, measure)
        self.steps: list[Step] | None = None

    def forward(self, steps: list[Step] | None = None) -> Any:
        """The model's output under the patch, restored afterwards."""
        with torch.inference_mode(False), torch.enable_grad(), self._patched(steps):
            return self._call()

    def attribute(self, target: Any) -> Attribution:
        try:
            return self._attribute(as_target(target))
        finally:
            if self.measure is not None:
                self.measure.close()

    def _attribute(self, made: Target) -> Attribution:
        with torch.inference_mode(False), torch.enable_grad(), self._patched() as patch:
            with all_frozen(self.lean):
                output = self._call()
            found = resolved(made, self.model, output, self.inputs.kwargs)
            score = found.score
            self._check_score(score)
            self.inputs.check_batch(len(score), type(made).read is Target.read and is_flat(output))
            patch.check([score])
            again = patch.spare([score])
            with full_precision(score):
                book = self._backward(score, found.entries, again)
        relevance = self.inputs.relevance()
        self._check_finite("the relevance", relevance)
        for name in self.inputs.unreached():
            warnings.warn(
                f"{name} has no relevance: it does not enter the score, or not differentiably "
                "(an image that the model turns into token ids)",
                UnreachedWarning,
                stacklevel=4,
            )
        for doubt in self.inputs.doubts():
            warnings.warn(doubt, UnexplainedWarning, stacklevel=4)
        return Attribution(
            relevance,
            score.detach(),
            Resolved(score.detach(), found.indices, found.labels, found.entries),
            book,
            self.observer.layers(),
            self.observer.heads(),
            _without_graph(output),
            self.inputs.gradient(),
        )

    def _patched(self, steps: list[Step] | None = None) -> Patch:
        patch = Patch(
            self.model,
            self.composite,
            self.strict,
            check=False,
            observer=self.observer,
            lean=self.lean,
        )
        patch.session.measure = self.measure
        # a lean run takes in no weight that requires grad
        patch.begun = None if self.lean and not patch.session.plain else self.begun
        patch.session.known, patch.session.frozen = True, self.lean
        patch.session.explained = self.explained
        patch.session.steps = self.steps = steps
        patch.session.fuse = not (self.measure or self.observer.patterns or self.observer.masks)
        patch.session.on_heads = self.observer.on_heads if self.observer.patterns else None
        return patch.install(timeout=600.0)

    def _call(self) -> Any:
        output = self._output()
        if self.inputs.seek():
            self.observer.restart()
            if self.measure is not None:
                self.measure.restart()
            if self.steps is not None:
                self.steps.clear()
            output = self._output()
        self.inputs.check_found()
        self.observer.check()
        if self.measure is not None:  # nobody takes the last value in, so nobody has seen it
            self.measure.seen([*output.values()] if isinstance(output, Mapping) else output)
        return output

    def _output(self) -> Any:
        try:
            return self.model(*self.inputs.args, **self.inputs.kwargs)
        except LxtError:
            raise
        except (IndexError, ValueError, RuntimeError) as e:
            self.inputs.check_ids(e)
            raise

    def _check_score(self, score: Tensor) -> None:
        if score.numel() == 0:
            raise InputError("the batch is empty: nothing to explain")
        self._check_finite("the score", score)
        if not score.requires_grad:
            raise InputError(
                "the score does not depend on the explained inputs "
                f"({', '.join(self.inputs.names) or 'none'})"
            )

    def _check_finite(self, what: str, value: Any) -> None:
        """A number that is not finite is an error, blamed on the first cause that can be found."""
        parts = value.values() if isinstance(value, Mapping) else [value]
        if not all(is_finite(t) for t in parts):
            self.inputs.check_finite()
            raise NumericalError(_diagnose(self.model, what))

    def _backward(self, score: Tensor, kept: Mapping[str, Tensor], again: bool) -> Ledger | None:
        """The backwards, and the account if one is wanted.

        ``kept``: by the target itself; ``again``: some of the graph will be used by others.
        """
        try:
            if self.measure is not None:
                return Accounts(self.measure, self.inputs, self.observer).run(score, kept, again)
            with last_backward():
                score.sum().backward(retain_graph=again)
            return None
        except RuntimeError as e:
            if "modified by an inplace operation" not in str(e):
                raise
            raise ModelError(
                f"{type(self.model).__name__} overwrites a value that its backward needs under "
                f"{self.composite.name or 'this composite'}; where it does that to fill a cache, "
                f"give use_cache=False ({e})"
            ) from e


def _without_graph(output: Any) -> Any:
    """A model's output whose tensors hold no graph, and with it no activation; no caches."""
    if isinstance(output, Tensor):
        return output.detach()
    if isinstance(output, MutableMapping):
        kept = copy(output)
        for key, value in output.items():
            kept[key] = _without_graph(value)
        return kept
    if isinstance(output, (tuple, list)):
        items = [_without_graph(v) for v in output]
        return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)
    return output if isinstance(output, (int, float, str, bool)) else None


def _tensors_of_model(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _diagnose(model: nn.Module, what: str) -> str:
    """Why a number is not finite, as far as can be told."""
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not torch.isfinite(parameter).all():
            return f"{what} is not finite: the parameter {name} holds NaN or infinity"
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    if dtype == torch.float16:
        return (
            f"{what} is not finite: an overflow in float16 (largest value 65504); "
            "use model.to(torch.bfloat16) or model.float()"
        )
    return f"{what} is not finite: look for NaN or infinity in the inputs"
