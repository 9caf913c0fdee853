"""A session: one composite at work on one model; what the handlers ask and tell."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from ..composites import Composite, Resolver
from ..errors import UnruledError, UnruledWarning
from ..rules.add import Ratio
from ..rules.base import Gradient, Rule
from ..rules.bilinear import Uniform
from ..rules.linear import LinearRule
from ..rules.live import Explained, explaining, is_active
from ..rules.rectifier import Rectifier
from .checkpoint import Wrap
from .graph import Node, Unruled, Wanted, checkpoints_above, claim, find_unruled, note
from .merge import merge
from .registry import Func, name_of
from .tags import flat, tag

if TYPE_CHECKING:
    from .measure import Measure

ADVICE = (
    "register a handler for it (docs/adding-an-op.md), or pass strict=False to give it the "
    "plain gradient (the ledger then shows what that costs)"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One operation that met a rule: in execution order."""

    index: int
    op: str
    kind: str
    path: str
    rule: Rule


@dataclass
class Session:
    """The state shared by the handlers while a patched model runs.

    ``froze``: ids of the parameters that required grad until a patch switched it off.
    ``counting``: only execution order matters, every operation gets the plain gradient.
    ``noting``: functions and modules leave their names on autograd's nodes, for messages.
    ``fuse``: nobody looks at hidden tensors, so steps of the backward may be merged.
    ``others``: path -> the other paths of a module that has several.
    ``frozen``: while the model runs, all that requires grad is taken for a signal.
    ``tail``: ids of weights at which relevance may come to few tokens only.
    ``measure`` is set while a ledger is kept; ``steps`` while a plan is recorded; ``on_heads``
    receives every attention's output [batch, heads, tokens, dim] with its module's path;
    ``own``: ids of the model's buffers; its parameters are known by their class.
    ``on_checkpoint`` wraps what a gradient checkpoint recomputes; ``explained``: what the running
    call explains; ``known``: that was so before the model was called, whose arguments are not
    asked; ``unasked``: nothing is, so that perhaps nothing but parameters takes relevance;
    ``start``: the number that autograd's next node had when the call began.
    """

    composite: Composite
    strict: bool = True
    froze: frozenset[int] = frozenset()
    own: set[int] = field(default_factory=set)
    counting: bool = False
    fuse: bool = False
    frozen: bool = False
    tail: frozenset[int] = frozenset()
    noting: bool = True
    totals: tuple[int, ...] | None = None
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    measure: Measure | None = None
    steps: list[Step] | None = None
    on_heads: Callable[[str, Tensor], None] | None = None
    on_checkpoint: Wrap | None = None
    stack: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    known: bool = False
    explained: Explained = field(default_factory=Explained)
    unasked: bool = False
    start: int = 0
    resolver: Resolver = field(init=False)
    plain: bool = field(init=False)
    first_layer: bool = field(init=False)
    ratio: bool = field(init=False)
    rectifying: bool = field(init=False)
    owning: bool = field(init=False)

    def __post_init__(self) -> None:
        rules = [a.rule for a in self.composite.assignments]
        self.first_layer = bool(self.composite.first_layer)
        self.ratio = any(isinstance(r, Ratio) for r in rules)
        self.rectifying = any(isinstance(r, Rectifier) for r in rules)
        # whether it matters what a constant was made of: values of attention take all
        self.owning = any(
            isinstance(r, Uniform) and "softmax" in r.weights["bilinear"] for r in rules
        )
        self.plain = bool(rules) and all(isinstance(r, Gradient) for r in rules)
        self.restart()

    def restart(self) -> None:
        """Begin a new forward: execution order counts from its start."""
        self.resolver = Resolver(self.composite, self.totals, self.others)
        simple = self.resolver.by_kind and not self.counting
        self._linear = simple and self._is_plain_everywhere("linear")
        self.wanted = Wanted(
            frozenset(k for k in ("linear", "conv") if not self._is_plain_everywhere(k)),
            self.measure is not None,
        )
        self.merging = False  # whether a BatchNorm followed a linear operation
        self._seen: set[str] = set()
        self._fast: dict[str, Rule] = {}  # when nobody listens and the kind alone decides

    def _is_plain_everywhere(self, kind: str) -> bool:
        """Whether every linear operation of ``kind`` keeps its plain gradient."""
        if not self.resolver.by_kind:
            found = [a.rule for a in self.composite.assignments if a.may_fit(kind)]
            return bool(found) and all(map(_is_gradient, found))
        rule = self.resolver.rule(kind, "")
        return rule is not None and _is_gradient(rule)

    def is_plain(self, rule: Rule) -> bool:
        """Whether a linear operation can be left to autograd: no rule, nothing to declare."""
        return _is_gradient(rule) and (self.measure is None or isinstance(rule, Gradient))

    def claim_linear(self, kind: str, out: Any, args: tuple[Any, ...]) -> None:
        """A handler has seen this operation, which has its plain gradient by its rule."""
        if self.wanted.biases or kind in self.wanted.kinds:
            self.claim(out, args, {})

    def leaves_alone(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
        """Whether F.linear needs no handler: most calls of a transformer, so they are short."""
        return (
            self._linear
            and not self.unasked
            and self.measure is None
            and self.steps is None
            and not (weight.requires_grad and is_active(weight))
            and not (bias is not None and bias.requires_grad and is_active(bias))
            and (not self.owning or is_active(x))
            and (not self.froze or (x.requires_grad and x.is_contiguous()))
            and ((found := tag(x)) is None or found.role != "softmax")
        )

    def moves_freely(self, x: Any) -> bool:
        """Whether ``x`` can be moved about (viewed, indexed) without a handler: no role to keep."""
        if self.froze and isinstance(x, Tensor) and not x.requires_grad:
            return False
        if self.owning and not is_active(x):
            return False
        return self.measure is None and not self.first_layer and tag(x) is None

    @contextmanager
    def resumed(self, counts: list[int] | None) -> Iterator[None]:
        """Count execution order on from ``counts`` (None: from here), then as before."""
        before = self.resolver
        if counts is not None:
            self.resolver = Resolver(self.composite, self.totals, self.others)
            self.resolver.counts = list(counts)
        try:
            yield
        finally:
            self.resolver = before

    @property
    def given(self) -> bool:
        """Whether what is explained was named: other leaves, and looked-up rows, are weights."""
        return self.explained.named

    @property
    def path(self) -> str:
        """The path of the module that is running; '' for the model itself."""
        return self.stack[-1][0] if self.stack else ""

    def rule(self, kind: str, func: Func) -> Rule:
        """The rule for an operation of ``kind`` in the running module.

        Raises:
            UnruledError: strict, and no assignment of the composite fits.
        """
        found = self._fast.get(kind)
        if found is not None:
            return found
        path, types = self.stack[-1] if self.stack else ("", ())
        found = self.resolver.rule(kind, path, types)
        if self.counting:
            return Gradient()
        if found is None:
            where = f"{name_of(func)} in {path or 'the model'}"
            message = (
                f"no rule for the {kind} operation {where}: the composite has no assignment that "
                f"fits it; add lxt.Assign(<rule>, kind={kind!r}) or lxt.rules.Gradient()"
            )
            if self.strict:
                raise UnruledError(message)
            self.warn(message)
            found = Gradient()
        if self.steps is not None:
            self.steps.append(Step(len(self.steps), name_of(func), kind, path, found))
        elif self.measure is not None:
            self.measure.rule = (kind, repr(found))
        elif self.resolver.by_kind:
            self._fast[kind] = found
        return found

    def run(self, func: Func, *args: Any, **kwargs: Any) -> Any:
        """``func`` as the model would have called it: intercepted, ruled, measured."""
        from .mode import dispatch

        if self.measure is not None:
            return self.measure.call(self, func, args, kwargs)
        return dispatch(self, func, args, kwargs)

    def refuse(self, message: str) -> None:
        """An operation that makes explanations meaningless: an error (strict), or one warning.

        Raises:
            UnruledError: strict; with the module's path.
        """
        if self.strict:
            raise UnruledError(f"{message} (in {self.path or 'the model'})")
        self.warn(message)

    def warn(self, message: str) -> None:
        """One warning per cause."""
        if message not in self._seen:
            self._seen.add(message)
            warnings.warn(message, UnruledWarning, stacklevel=2)

    def claim(self, out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The nodes from the call's arguments to ``out`` are covered by a rule."""
        claim(out, flat((*args, *kwargs.values())))

    def note(self, out: Any, func: Func | None, path: str | None = None) -> None:
        """Remember which function made ``out``, or which module it left, for error messages."""
        if not self.noting:
            return
        for t in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(t, Tensor):
                note(t, func, self.path if path is None else path)

    def check(self, outputs: Iterable[Tensor]) -> list[Node]:
        """Walk the graph; an operation without a rule is an error (strict) or a warning.

        Returns the nodes of reentrant checkpoints, whose inner graphs are yet to be made.

        Raises:
            UnruledError: naming each operation, its module, and what to do.
        """
        outputs = list(outputs)
        if self.plain:
            return checkpoints_above(outputs)
        if self.merging:
            merge(outputs)
        with explaining(self.explained):
            found, checkpoints = find_unruled(outputs, self.wanted, self.frozen)
        if found:
            self._refuse(found)
        return checkpoints

    def _refuse(self, found: list[Unruled]) -> None:
        names = sorted({str(u) for u in found})
        shown = "; ".join(names[:8]) + (f"; and {len(names) - 8} more" if len(names) > 8 else "")
        if self.strict:
            raise UnruledError(
                f"no rule for {len(names)} operation(s) on the path from the score to the input: "
                f"{shown}. What to do: {ADVICE}."
            )
        self.warn(f"strict=False: these operations got the plain gradient: {shown}")
        if self.measure is not None:
            self.measure.watch(u.node for u in found)


def _is_gradient(rule: Rule) -> bool:
    return isinstance(rule, Gradient) or (isinstance(rule, LinearRule) and rule.is_gradient)


def types_of(module: nn.Module) -> tuple[str, ...]:
    """The names of a module's class and its bases, for matching assignments."""
    cls = type(module)
    found = _TYPES.get(cls)
    if found is None:
        found = _TYPES[cls] = tuple(c.__name__ for c in cls.__mro__ if c is not object)
    return found


# weak: parametrised modules have a class each
_TYPES: WeakKeyDictionary[type[nn.Module], tuple[str, ...]] = WeakKeyDictionary()
