"""The walk, and the table of nodes that need no rule, held against the nodes themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import UnruledError
from lxt_like.intercept.graph import (
    LINEAR,
    ONE_OPERAND,
    ORDERS,
    claim,
    edges_of,
    find_unruled,
    locate,
    note,
    short_name,
)
from tests.support import inline, random

AT = torch.tensor([[2, 0, 1], [1, 1, 0]])
MASK = torch.tensor([[True, False, True], [False, True, True]])
PICTURE = (1, 2, 4, 4)


def write(x: Tensor, y: Tensor) -> Tensor:
    z = x * 1
    z[:, 0] = y[:, 1]
    return z


# node -> something of x and y [2, 3] (or pictures) that ends in it
NODES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Abs": lambda x, y: x.abs(),
    "Add": lambda x, y: torch.add(x, y, alpha=0.7),
    "Amax": lambda x, y: x.amax(-1),
    "Amin": lambda x, y: x.amin(-1),
    "Cat": lambda x, y: torch.cat([x, y], 1),
    "Clone": lambda x, y: x.clone(),
    "ConstantPadNd": lambda x, y: F.pad(x, (1, 1)),
    "CopySlices": write,
    "Cumsum": lambda x, y: x.cumsum(-1),
    "Diagonal": lambda x, y: x.diagonal(),
    "Expand": lambda x, y: x[..., None].expand(2, 3, 4),
    "Flip": lambda x, y: x.flip(0),
    "Gather": lambda x, y: x.gather(1, AT),
    "Im2Col": lambda x, y: F.unfold(x.view(1, 1, 2, 3), (2, 2)),
    "Index": lambda x, y: x[MASK],
    "IndexAdd": lambda x, y: x.index_add(1, AT[0], y),
    "IndexCopy": lambda x, y: x.index_copy(1, AT[0], y),
    "IndexPut": lambda x, y: x.index_put((MASK,), y[MASK]),
    "IndexSelect": lambda x, y: x.index_select(1, AT[0]),
    "LeakyRelu": lambda x, y: F.leaky_relu(x, 0.3),
    "MaskedFill": lambda x, y: x.masked_fill(MASK, 0),
    "MaskedScatter": lambda x, y: x.masked_scatter(MASK, y),
    "MaskedSelect": lambda x, y: x.masked_select(MASK),
    "Max": lambda x, y: x.max(-1).values,
    "Maximum": lambda x, y: torch.maximum(x, y),
    "Mean": lambda x, y: x.mean(-1),
    "Median": lambda x, y: x.median(-1).values,
    "Min": lambda x, y: x.min(-1).values,
    "Minimum": lambda x, y: torch.minimum(x, y),
    "Mode": lambda x, y: x.mode(-1).values,
    "Kthvalue": lambda x, y: x.kthvalue(2, -1).values,
    "Neg": lambda x, y: -x,
    "Permute": lambda x, y: x.permute(1, 0),
    "PixelShuffle": lambda x, y: F.pixel_shuffle(x.repeat(2, 2).view(1, 4, 1, 6), 2),
    "PreluKernel": lambda x, y: F.prelu(x, torch.tensor([0.3]).double()),
    "Relu": lambda x, y: F.relu(x),
    "Repeat": lambda x, y: x.repeat(2, 1),
    "Roll": lambda x, y: x.roll(1, 1),
    "Rsub": lambda x, y: torch.rsub(x, y),
    "Scatter": lambda x, y: x.scatter(1, AT[:, :1], y[:, :1]),
    "ScatterAdd": lambda x, y: x.scatter_add(1, AT, y),
    "Select": lambda x, y: x.select(1, 0),
    "SelectScatter": lambda x, y: x.select_scatter(y[:, 0], 1, 1),
    "Slice": lambda x, y: x[:, 1:],
    "SliceScatter": lambda x, y: x.slice_scatter(y[:, :2], 1, 0, 2),
    "Sort": lambda x, y: x.sort(-1).values,
    "Split": lambda x, y: x.split(2, -1)[0],
    "SplitWithSizes": lambda x, y: x.split([1, 2], -1)[1],
    "Squeeze": lambda x, y: x[:, :1].squeeze(1),
    "Stack": lambda x, y: torch.stack([x, y]),
    "Sub": lambda x, y: x - y,
    "Sum": lambda x, y: x.sum(0),
    "T": lambda x, y: x.t(),
    "ToCopy": lambda x, y: x.to(torch.float32).double(),
    "Topk": lambda x, y: x.topk(2, -1).values,
    "Trace": lambda x, y: x[:, :2].trace(),
    "Transpose": lambda x, y: x.transpose(0, 1),
    "Tril": lambda x, y: x.tril(),
    "Triu": lambda x, y: x.triu(),
    "Unbind": lambda x, y: x.unbind(1)[1],
    "Unfold": lambda x, y: x.unfold(1, 2, 1),
    "Unsqueeze": lambda x, y: x[:, None],
    "View": lambda x, y: x.view(3, 2),
    "Where": lambda x, y: torch.where(MASK, x, y),
    "ViewAsComplex": lambda x, y: torch.view_as_real(torch.view_as_complex(x[:, :2].contiguous())),
    "FftR2C": lambda x, y: torch.fft.irfft(torch.fft.rfft(x, dim=-1), n=3, dim=-1),
    "FftC2C": lambda x, y: torch.fft.ifft(torch.fft.fft(x + 0j)).real,
    "AvgPool2D": lambda x, y: F.avg_pool2d(picture(x), 2),
    "AdaptiveAvgPool2D": lambda x, y: F.adaptive_avg_pool2d(picture(x), 3),
    "AdaptiveMaxPool2D": lambda x, y: F.adaptive_max_pool2d(picture(x), 3),
    "MaxPool2DWithIndices": lambda x, y: F.max_pool2d(picture(x), 2),
    "UpsampleBilinear2D": lambda x, y: F.interpolate(picture(x), scale_factor=2, mode="bilinear"),
    "UpsampleBicubic2D": lambda x, y: F.interpolate(picture(x), scale_factor=2, mode="bicubic"),
    "UpsampleNearest2D": lambda x, y: F.interpolate(picture(x), scale_factor=2),
    "ReflectionPad2D": lambda x, y: F.pad(picture(x), (1, 1, 1, 1), "reflect"),
    "ReplicationPad2D": lambda x, y: F.pad(picture(x), (1, 1, 1, 1), "replicate"),
    # one factor constant
    "Mul": lambda x, y: x * 3,
    "Mm": lambda x, y: x @ torch.ones(3, 2).double(),
    "Addmm": lambda x, y: torch.addmm(torch.zeros(2).double(), x, torch.ones(3, 2).double()),
    "Bmm": lambda x, y: torch.bmm(x[None], torch.ones(1, 3, 2).double()),
    "Mv": lambda x, y: x @ torch.ones(3).double(),
    "Dot": lambda x, y: x[0] @ torch.ones(3).double(),
    "Convolution": lambda x, y: F.conv2d(picture(x), torch.ones(2, 2, 2, 2).double()),
}


def picture(x: Tensor) -> Tensor:
    return x.repeat(2, 3)[:, :8].reshape(1, 2, 4, 4) * torch.arange(1.0, 33).double().view(PICTURE)


@pytest.mark.parametrize("name", NODES)
def test_nodes_of_the_table_pass_on_what_they_get(name: str) -> None:
    """Euler: f(2 x) = 2 f(x), and the sum of x * gradient is the sum of f * g."""
    x, y = random(2, 3).requires_grad_(), random(2, 3, seed=1).requires_grad_()
    f = NODES[name]
    out = f(x, y)
    assert name in LINEAR | ONE_OPERAND | ORDERS.keys()
    assert name in {short_name(node) for node in edges_of([out])}
    torch.testing.assert_close(f(2 * x, 2 * y), 2 * out, rtol=1e-6, atol=1e-6)
    g = random(*out.shape, seed=9)
    grads = torch.autograd.grad(out, (x, y), g, allow_unused=True)
    passed = sum(
        float((t.detach() * d).sum()) for t, d in zip((x, y), grads, strict=True) if d is not None
    )
    assert passed == pytest.approx(float((out.detach() * g).sum()), rel=1e-6)
    assert find_unruled([out]) == ([], [])


HOMOGENEOUS = (2, 1, 0.5, 3, -1, -2.5, float("inf"), -float("inf"))


@pytest.mark.parametrize("function", [torch.linalg.vector_norm, torch.ops.aten.norm.Scalar])
def test_norms_of_every_order_but_0(function: Callable[..., Tensor]) -> None:
    """Of order 0 it is a number of elements: no degree 1, and a gradient of 0."""
    for order in HOMOGENEOUS:
        x = random(5).requires_grad_()
        out = function(x, order)
        (grad,) = torch.autograd.grad(out, x, retain_graph=True)
        assert float((x.detach() * grad).sum()) == pytest.approx(out.item(), rel=1e-12)
        assert unruled(out) == set()
    out = function(x, 0)
    assert unruled(out) == {short_name(out.grad_fn)}


@pytest.mark.parametrize(
    "count", [lambda h: h.norm(0, -1, keepdim=True), lambda h: torch.linalg.vector_norm(h, ord=0)]
)
def test_a_count_is_refused(count: Callable[[Tensor], Tensor]) -> None:
    model = inline(lambda m, x: m.a(x) + count(m.b(x)))
    with pytest.raises(UnruledError, match="LinalgVectorNorm"):
        lxt.attribute(model, random(1, 6), 0)


def unruled(out: Tensor) -> set[str]:
    return {short_name(u.node) for u in find_unruled([out])[0]}


X = random(2, 3).requires_grad_()


@pytest.mark.parametrize(
    ("out", "names"),
    [
        (X * X, {"Mul"}),
        (X / X, {"Div"}),
        (2 / X, {"Reciprocal", "Mul"} - {"Mul"}),
        (X @ X.T, {"Mm"}),
        (torch.atan(X) * 2, {"Atan"}),
        (X * torch.atan(X).detach(), set()),
        (torch.exp(X).sum() + X, {"Exp"}),
        (X / X.detach(), set()),
        (torch.einsum("ab,ab->", X, X), {"Bmm"}),
        (X.double().pow(2), {"Pow"}),
    ],
)
def test_the_rest_is_found(out: Tensor, names: set[str]) -> None:
    assert unruled(out) == names


def test_parameters_alone_are_no_path() -> None:
    w = nn.Parameter(random(3))
    x = random(3).requires_grad_()
    assert unruled(x * w) == set()
    assert unruled(x * torch.atan(w)) == set()
    assert unruled(torch.atan(x * w)) == {"Atan"}


def test_claims_cover_what_lies_between() -> None:
    x = random(3).requires_grad_()
    before = torch.atan(x)
    out = torch.tanh(before.square())
    assert unruled(out) == {"Atan", "Pow", "Tanh"}
    claim(out, (before,))
    assert unruled(out) == {"Atan"}


def test_places_are_the_nearest_known_towards_the_output() -> None:
    x = random(3).requires_grad_()
    y = torch.atan(x)
    out = y.sin() * 2
    note(out, torch.mul, "b")
    note(y, torch.atan, "a")
    found = {str(u) for u in find_unruled([out])[0]}
    assert found == {"AtanBackward0 (torch.atan in a)", "SinBackward0 (mul in b, or before it)"}
    assert locate([out], {y.grad_fn}) == {y.grad_fn: "torch.atan in a"}


def test_every_node_is_visited_once() -> None:
    x = random(3).requires_grad_()
    y = x
    for _ in range(60):  # 2 ** 60 paths
        y = y + y
    assert len(edges_of([y])) == 61
    assert unruled(y) == set()


@pytest.mark.parametrize("name", ["Identity", "Where", "Mul"])
def test_a_custom_function_is_not_trusted_by_its_name(name: str) -> None:
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**3

    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return g * 3 * x**2

    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    custom: Any = type(name, (torch.autograd.Function,), methods)
    with pytest.raises(UnruledError, match=f"{name}Backward"):
        lxt.attribute(inline(lambda m, x: custom.apply(m.a(x))), random(2, 6), 0)
