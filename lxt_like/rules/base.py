"""What a rule is, the kinds of operation, and how a rule talks to the ledger.

**Convention: modified gradients.**  A rule leaves the forward value alone and changes the
backward so that ``activation * grad`` is the relevance of that activation, at every layer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from ..errors import RuleError
from ..numerics import Amount, full_precision

KINDS: tuple[str, ...] = (
    "linear",
    "conv",
    "bilinear",
    "attention",
    "softmax",
    "product",
    "norm",
    "activation",
    "pooling",
    "add",
)
"""The kinds of operation that rules are assigned to."""

PARENTS: dict[str, str] = {"conv": "linear"}
"""A kind and the kind it belongs to: what is assigned to the latter fits the former."""

CAUSES: dict[str, str] = {
    "bias": "biases of linear operations and norms: b * g",
    "position": "position embeddings added to the signal: c * g",
    "token_type": "token-type (segment) embeddings added to the signal: c * g",
    "cls": "the CLS token, put beside the patches or words: c * g",
    "distillation": "the distillation token: c * g",
    "register": "register tokens: c * g",
    "constant": "other constants added to the signal: c * g",
    "softmax": "what the Taylor expansion of softmax keeps (its bias term)",
    "activation": "the offset f(0) of an activation: f(0) * g",
    "epsilon": "absorbed by the stabilizer of the epsilon rule",
    "unassigned": "no input of the needed sign (alpha-beta, z+)",
    "cut": "input-dependent values that the model itself detached",
    "masked": "held back by the masks that the caller of ``attribute`` gave",
    "rounding": "lost in a narrowing cast inside the model",
}
"""Why relevance does not reach the inputs: the causes a ledger may name."""

Declaration = Callable[[Tensor], Mapping[str, Amount | float]]
"""From the gradient at an operation's output to the relevance each cause keeps, in closed form.

As :func:`lxt_like.numerics.inner` sums it up it is known sample by sample; of a bare number the
ledger of a batch takes one backward for each sample.
"""


class Book(Protocol):
    """Where rules declare what they do not pass on (see :mod:`lxt_like.ledger`)."""

    def declare(self, output: Tensor, declaration: Declaration) -> None:
        """Evaluate ``declaration`` on the gradient that arrives at ``output``."""


@dataclass(frozen=True, repr=False)
class Rule:
    """Base of all rules: frozen data, comparable, hashable, printed as the code that makes it."""

    kinds: ClassVar[frozenset[str]] = frozenset()
    """The kinds of operation that this rule can be assigned to."""
    spelled: ClassVar[int] = 1
    """How many fields are always printed; the others only where they differ from the default."""

    def __repr__(self) -> str:
        shown = []
        for i, f in enumerate(fields(self)):
            value = getattr(self, f.name)
            if i < self.spelled or value != f.default:
                shown.append(f"{f.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True)
class Gradient(Rule):
    """No rule: the plain gradient, so that relevance is input x gradient.

    Formula: R_i = x_i sum_j (dz_j/dx_i) g_j.  It does not conserve relevance at products, norms,
    softmax and activations, and declares nothing for the ledger.

    Use: the baseline to compare with; an operation that is to keep its plain gradient.
    Source: Shrikumar et al. 2016, arXiv:1605.01713 (gradient x input).
    """

    kinds: ClassVar[frozenset[str]] = frozenset(KINDS)


def refuse_complex(rule: Rule, *tensors: Tensor) -> None:
    """Raise RuleError for complex numbers: shares by sign and by size are defined for real ones."""
    if any(t.is_complex() for t in tensors):
        raise RuleError(
            f"{rule!r} is for real numbers, and came upon {tensors[0].dtype} values: complex ones "
            "have no sign and no ratio to share by. Assign lxt.rules.Gradient() or, to a linear "
            "operation, lxt.rules.Epsilon(0) there, or have the model compute with real and "
            "imaginary parts (torch.view_as_real)"
        )


def _without_autocast(backward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(backward)
    def run(ctx: Any, *grads: Tensor | None) -> Any:
        g = next((g for g in grads if g is not None), None)
        if g is None:
            return backward(ctx, *grads)
        with full_precision(g):
            return backward(ctx, *grads)

    return run


class RuleFunction(torch.autograd.Function):
    """Base of our autograd functions: nodes of a subclass need no further claim.

    Their backwards run without autocast, whatever surrounds them: rules compute as they say.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "backward" in vars(cls):
            cls.backward = staticmethod(_without_autocast(cls.backward))  # type: ignore[method-assign]

    if TYPE_CHECKING:  # torch leaves apply untyped

        @classmethod
        def apply(cls, *args: Any) -> Tensor: ...


def own(out: Tensor) -> Tensor:
    """``out``, the fresh result of a forward, so that the model may write into it.

    Torch forbids that for views that a custom function returns, and F.linear of a batch of tokens
    or a convolution of one image end in a view of what they computed.
    """
    return torch.ops.aten._unsafe_view(out, out.shape) if out._is_view() else out


class _Last(threading.local):
    """Whether this thread runs the one backward that a graph was made for."""

    on = False


_last = _Last()


@contextmanager
def last_backward() -> Iterator[None]:
    """The graph is used once more and never again: rules may write into what they saved for it."""
    before, _last.on = _last.on, True
    try:
        yield
    finally:
        _last.on = before


def may_overwrite() -> bool:
    """Whether a rule's backward may write into what its forward saved."""
    return _last.on and not torch.is_grad_enabled()


class _Scale:
    """A prehook that scales the gradient entering a node; in place if that is known to be fresh."""

    __slots__ = ("factor", "fresh")

    def __init__(self, factor: float, fresh: bool) -> None:
        self.factor, self.fresh = factor, fresh

    def __call__(self, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        (g,) = grads
        if g is None:
            return grads
        if self.fresh and not torch.is_grad_enabled():
            return (g.mul_(self.factor),)
        return (g * self.factor,)


def consumer(t: Tensor) -> Tensor:
    """``t`` on a fresh node of its own, so that one consumer's gradient can be seen or changed.

    A hook on the tensor itself would act on all its consumers.
    """
    v = t[...]  # keeps every stride, by which kernels are chosen; view_as does not
    if v.grad_fn is None:
        raise RuntimeError(
            "lxt_like: this operation runs where autograd keeps no graph (torch.func / vmap); "
            "explain with plain autograd instead"
        )
    return v


def scale_incoming(out: Tensor, factor: float) -> Tensor:
    """``out``, a fresh result, whose operation receives its gradient times ``factor``.

    The hook sits on the operation's own node, behind hooks on the tensor: ``out.grad`` and
    what tensor hooks see stay the gradient that arrived.
    """
    if out._is_view():  # writing into a view makes it a new node, without the hook
        out = out.clone()
    node = out.grad_fn
    assert node is not None
    node.register_prehook(_Scale(factor, False))
    return out


def scaled(t: Tensor, factor: float, fresh: bool = False) -> Tensor:
    """``t`` whose gradient from this consumer alone is multiplied by ``factor``.

    ``fresh``: the consumer's backward allocates that gradient for nobody else.
    """
    v = consumer(t)
    node = v.grad_fn
    assert node is not None
    node.register_prehook(_Scale(factor, fresh))
    return v
