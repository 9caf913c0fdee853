"""The walk over autograd's graph that finds operations without a rule.

Handlers *claim* the nodes they make.  Every other node on the path from the score to the input
must be of a kind known to pass relevance on unchanged: linear in its differentiable operands,
or homogeneous.  The walk sees what interception cannot: custom autograd functions, scripted
functions, opaque kernels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from ..rules.base import RuleFunction
from ..rules.live import beginnings, is_explained, is_live, is_weight_leaf
from .registry import Func, name_of
from .trust import ForeignWeightError

Node = Any  # torch.autograd.graph.Node, or the class of a custom Function

_CLAIM = "lxt_claim"
_SEEN = "lxt_seen"

# Linear in all differentiable operands together, or homogeneous of degree 1 and piecewise linear.
LINEAR = frozenset(
    """
    AccumulateGrad Abs Add AdaptiveAvgPool1D AdaptiveAvgPool2D AdaptiveAvgPool3D AdaptiveMaxPool2D
    AdaptiveMaxPool3D Alias Amax Amin AsStrided AvgPool2D AvgPool3D BroadcastTensors Cat Chunk
    Clone Constant ConstantPadNd Copy CopyBackwards CopySlices Cumsum Detach Diagonal
    DiagonalCopy Expand Flip Gather Identity Im2Col Col2Im Index IndexAdd IndexCopy IndexFill
    IndexPut IndexSelect LeakyRelu LiftFresh MaskedFill MaskedScatter MaskedSelect Max
    MaxPool2DWithIndices MaxPool3DWithIndices MaxPool2D MaxPool1D Maximum Mean Min Minimum
    MoveDim Narrow Nansum NativeDropout Neg NestedTensor NestedView Permute PixelShuffle
    PixelUnshuffle Pad PackPaddedSequence
    ReflectionPad1D ReflectionPad2D ReflectionPad3D Relu Repeat RepeatInterleave
    ReplicationPad1D ReplicationPad2D ReplicationPad3D Reshape ReshapeAlias ReshapeCopy Roll
    Rot90 Rsub Scatter ScatterAdd Select SelectScatter Slice SliceScatter Sort SplitWithSizes
    Split Squeeze Stack Sub Sum SumToSize T ToCopy Topk Trace Transpose TrilIndices Tril Triu
    Unbind Unfold UnfoldBackward Unsqueeze UnsafeSplit UnsafeView UpsampleBicubic2D
    UpsampleBicubic2DAa UpsampleBilinear2DAa UpsampleNearestExact1D UpsampleNearestExact2D
    UpsampleNearestExact3D ChannelShuffle MaxUnpool2D MaxUnpool3D
    UpsampleBilinear2D UpsampleLinear1D UpsampleNearest1D UpsampleNearest2D UpsampleNearest3D
    UpsampleTrilinear3D ViewAsComplex ViewAsReal View Where Zero Real Imag Conj FftC2C FftR2C
    FftC2R Embedding EmbeddingRenorm Median Kthvalue Mode Std
    Aminmax BlockDiag Complex ConjPhysical Copysign Cummax Cummin Deg2Rad DiagEmbed
    DiagonalScatter Fmax Fmin Hypot NanToNum Nanmedian NarrowCopy Put Rad2Deg StdMean Take
    UnsafeSplitWithSizes
    """.split()
)

_CONV = "Convolution ConvolutionOverrideable MkldnnConvolution".split()
_ADDED = "Addmm Addmv Baddbmm Addbmm Linear MkldnnLinear".split()
_MATRIX = "Mm Bmm Mv Dot Vdot GroupedMm Einsum Inner Bilinear Trilinear".split()

KINDS = {**dict.fromkeys(_CONV, "conv"), **dict.fromkeys((*_ADDED, *_MATRIX), "linear")}
"""The nodes of what linear rules are about, and the kind of operation that each is."""

# Linear only while a single operand is differentiable (not both factors, not the divisor).
ONE_OPERAND = frozenset(
    (*KINDS, *"Mul Outer Kron Cross LinalgCross PreluKernel EmbeddingBag".split())
)
FIRST_ONES = {"Div": 1, "Ldexp": 1, "Xlogy": 1, "SpecialXlog1Py": 1, "Lerp": 2}
"""How many of the operands are differentiable, in front of a constant divisor, power or mixture."""

ORDERS = {
    **dict.fromkeys(("Norm", "Cdist", "Pdist", "Dist"), "_saved_p"),
    "LinalgVectorNorm": "_saved_ord",
}
"""Homogeneous of degree 1, but for the order 0, which counts and has no gradient."""

REDUCES = frozenset({"ScatterReduce", "IndexReduce"})
"""Sums, means and maxima; but not products."""

_SUFFIX = re.compile(r"Backward\w*$")


@cache
def _shorten(name: str) -> str:
    name = name.rsplit("::", 1)[-1]
    return _SUFFIX.sub("", name) or name


def short_name(node: Node) -> str:
    """'AddmmBackward0' -> 'Addmm'."""
    return _shorten(node.name())


def claim(out: Any, inputs: Iterable[Any]) -> None:
    """Mark every node between ``inputs`` and ``out`` as covered by a rule."""
    if isinstance(out, Tensor):
        node: Node = out.grad_fn
        if node is None or isinstance(getattr(node, "_forward_cls", None), type):
            return
        outs: tuple[Any, ...] = (out,)
    else:
        outs = tuple(out)
    stop = {t.grad_fn for t in inputs if isinstance(t, Tensor)}
    todo: list[Node] = [t.grad_fn for t in outs if isinstance(t, Tensor) and t.grad_fn is not None]
    while todo:
        node = todo.pop()
        if node in stop or short_name(node) == "AccumulateGrad":
            continue
        if _CLAIM in node.metadata:
            continue
        node.metadata[_CLAIM] = True
        todo.extend(n for n, _ in node.next_functions if n is not None)


def claim_node(out: Tensor) -> None:
    """Mark the node that made ``out`` as covered by a rule: for operations that are one node."""
    node: Node = out.grad_fn
    if node is not None:
        node.metadata[_CLAIM] = True


def note(out: Tensor, func: Func | None, path: str) -> None:
    """Remember which function and module made a node, for error messages only."""
    node: Node = out.grad_fn
    if node is not None:
        node.metadata.setdefault(_SEEN, (func, path))


def was_noted(node: Node) -> bool:
    """Whether an intercepted torch function made this node."""
    seen = node.metadata.get(_SEEN)
    return seen is not None and seen[0] is not None


def _place(seen: tuple[Func | None, str]) -> str:
    func, path = seen
    where = f"in {path or 'the model'}"
    return where if func is None else f"{name_of(func)} {where}"


_MEANS = {"torch::autograd::Error": "the derivative of an operation under a rule"}
"""What autograd calls by names that say nothing."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which linear operations need a rule of their own, so that a handler must have seen them.

    ``kinds``: those that the composite gives another gradient than the plain one; ``biases``: a
    ledger is kept, so that whatever adds a bias has to declare it.
    """

    kinds: frozenset[str] = frozenset()
    biases: bool = False

    def asks(self, node: Node, name: str) -> bool:
        """Whether this node, a product with a constant, is such an operation."""
        return KINDS.get(name) in self.kinds or (self.biases and _adds(node, name))


class Unruled:
    """An operation without a rule: the node, and where it is."""

    __slots__ = ("node", "where")

    def __init__(self, node: Node, where: str) -> None:
        self.node, self.where = node, where

    @property
    def name(self) -> str:
        """The name of autograd's node."""
        return _MEANS.get(self.node.name(), str(self.node.name()))

    def __str__(self) -> str:
        return f"{self.name} ({self.where})" if self.where else self.name


def _is_ruled(node: Node) -> bool:
    cls = getattr(node, "_forward_cls", None)
    return isinstance(cls, type) and issubclass(cls, RuleFunction)


def is_checkpoint(node: Node) -> bool:
    """A node of reentrant gradient checkpointing, whose graph is made in the backward."""
    return getattr(node, "_forward_cls", None) is torch.utils.checkpoint.CheckpointFunction


def edges_of(outputs: Iterable[Tensor]) -> dict[Node, list[Node | None]]:
    """Every node above ``outputs``, once, and the nodes that its operands come from.

    Without those of what is explained, and what is behind them.
    """
    order = list({t.grad_fn: None for t in outputs if t.grad_fn is not None})
    seen = set(order)
    edges: dict[Node, list[Node | None]] = {}
    explained = beginnings()
    for node in order:  # grows while it is read
        if node in explained:
            continue
        edges[node] = before = [n for n, _ in node.next_functions]
        for n in before:
            if n is not None and n not in seen:
                seen.add(n)
                order.append(n)
    return edges


def checkpoints_above(outputs: Iterable[Tensor]) -> list[Node]:
    """The nodes of reentrant gradient checkpoints above ``outputs``."""
    return [node for node in edges_of(outputs) if is_checkpoint(node)]


def spare_weights(outputs: Iterable[Tensor], start: int) -> tuple[list[RemovableHandle], bool]:
    """Have no backward write into the ``.grad`` of a leaf above ``outputs`` that is not explained.

    Returns what undoes it, and whether a graph leads to such a leaf that is older than ``start``,
    a number of autograd's nodes.
    """
    edges = edges_of(outputs)
    found = [
        node
        for node, before in edges.items()
        if not before and hasattr(node, "variable") and not is_explained(node)
    ]
    # not by requires_grad, which decides what a checkpoint saves when it computes again
    handles = [node.register_prehook(_nothing) for node in found]
    return handles, bool(found) and any(node._sequence_nr() < start for node in edges)


def _nothing(grads: tuple[Tensor | None, ...]) -> tuple[None, ...]:
    return (None,) * len(grads)


_ANYWHERE = "in the model"
_BEFORE = ", or before it"


def locate(outputs: Iterable[Tensor], wanted: set[Node]) -> dict[Node, str]:
    """For each wanted node the label noted on it, or on the nearest node towards the output.

    The latter ends in "or before it": the node may lie in that place, or feed it.
    """
    outputs = list(outputs)
    edges = edges_of(outputs)
    places: dict[Node, str] = {t.grad_fn: "" for t in outputs if t.grad_fn is not None}
    todo = list(places)
    for node in todo:
        seen = node.metadata.get(_SEEN)
        if seen is not None:
            places[node] = _place(seen)
        here = places[node]
        if here not in ("", _ANYWHERE) and not here.endswith(_BEFORE):
            here += _BEFORE
        for n in edges.get(node, ()):
            if n is not None and n not in places:
                places[n] = here
                todo.append(n)
    return {node: place for node, place in places.items() if node in wanted}


class _Verdict(Enum):
    """What a node's class says of it."""

    RIGHT = "whatever its operands"
    ONE = "while at most one operand is live"
    LINEAR = "so, too, unless the composite has another rule for its kind"
    OPEN = "to be looked at"


_VERDICTS: dict[type, _Verdict] = {}


def _verdict(node: Node) -> _Verdict:
    cls = type(node)
    known = _VERDICTS.get(cls)
    if known is None:
        known = _judged(node)
        if known is not _Verdict.OPEN:  # a class of somebody's own may not last
            _VERDICTS[cls] = known
    return known


def _judged(node: Node) -> _Verdict:
    if hasattr(node, "_forward_cls"):  # written in Python: it has the name that its author liked
        return _Verdict.RIGHT if _is_ruled(node) else _Verdict.OPEN
    if str(node.name()).rsplit("::", 1)[-1] != type(node).__name__:
        return _Verdict.OPEN  # what torch gives no class of its own shares one with others
    name = short_name(node)
    if name in LINEAR:
        return _Verdict.RIGHT
    if name in KINDS:
        return _Verdict.LINEAR
    return _Verdict.ONE if name in ONE_OPERAND else _Verdict.OPEN


def _adds(node: Node, name: str) -> bool:
    """Whether a linear operation has, or may have, a bias."""
    sizes = getattr(node, "_saved_bias_sym_sizes_opt", ())
    return name in _ADDED or any(sizes or ())


def _is_known(node: Node, live: list[bool], wanted: Wanted) -> bool:
    """Whether the node has a rule, or needs none with these operands live."""
    name = "" if hasattr(node, "_forward_cls") else short_name(node)
    if name in LINEAR:
        return True
    if name in ONE_OPERAND and sum(live) <= 1 and not wanted.asks(node, name):
        return True
    if name in FIRST_ONES and not any(live[FIRST_ONES[name] :]):
        return True
    if name in REDUCES and node._saved_reduce != "prod":
        return True
    if name in ORDERS and getattr(node, ORDERS[name]) != 0:
        return True
    return _is_ruled(node) or _CLAIM in node.metadata


_NOTHING = Wanted()


def find_unruled(
    outputs: Iterable[Tensor], wanted: Wanted = _NOTHING, frozen: bool = False
) -> tuple[list[Unruled], list[Node]]:
    """The operations without a rule above ``outputs``, and the reentrant checkpoint nodes.

    Raises:
        ForeignWeightError: a weight requires grad, and ``frozen`` says that none does.
    """
    outputs = list(outputs)
    edges = edges_of(outputs)
    if frozen:
        for node, before in edges.items():
            leaf = None if before else getattr(node, "variable", None)
            if leaf is not None and is_weight_leaf(leaf):
                raise ForeignWeightError
    open_ = []
    for node, before in edges.items():
        verdict = _verdict(node)
        if verdict is _Verdict.RIGHT:
            continue
        # most need no look at where their operands come from
        free = verdict is _Verdict.ONE or (verdict is _Verdict.LINEAR and wanted == _NOTHING)
        if free and len(before) - before.count(None) <= 1:
            continue
        if not _is_known(node, [n is not None for n in before], wanted):
            open_.append(node)
    if not open_:
        return [], []
    found: list[Node] = []
    checkpoints: list[Node] = []
    for node in open_:
        if not (is_live(node) or node.name() in _MEANS):  # what is behind those is not known
            continue
        if is_checkpoint(node):
            checkpoints.append(node)
        elif not _is_known(node, [n is not None and is_live(n) for n in edges[node]], wanted):
            found.append(node)
    places = locate(outputs, set(found)) if found else {}
    return [Unruled(node, places.get(node, "")) for node in found], checkpoints
