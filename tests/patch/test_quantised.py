"""Linear layers with packed weights: bitsandbytes' kernels, as they are and simulated; torchao."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from tests.oracles.arrays import relative_error
from tests.restore.snapshot import differences, snapshot

COMPOSITES = ("attnlrp", "cp_lrp", "epsilon", "epsilon_plus")
X = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(3))


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 weights and the largest magnitude of each row."""
    scale = weight.abs().amax(1)
    return (weight / scale[:, None] * 127).round().to(torch.int8), scale


class State:
    def __init__(self, weight: Tensor) -> None:
        self.CB, self.SCB = rounded(weight)

    def weight(self) -> Tensor:
        return self.CB.float() * (self.SCB[:, None] / 127)


class _Packed(torch.autograd.Function):
    """The shape of bitsandbytes' functions: opaque, a gradient for the input alone."""

    inputs_are_rounded = False

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Any, out: Any, bias: Any, state: State) -> Tensor:
        ctx.state = state
        return F.linear(x, state.weight(), bias)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g @ ctx.state.weight(), None, None, None, None


class _Rounding(_Packed):
    """Its inputs are rounded as well: the output is not linear in them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Any, out: Any, bias: Any, state: State) -> Tensor:
        return _Packed.forward(ctx, (x * 16).round() / 16, packed, out, bias, state)


class Packed(nn.Module):
    def __init__(self, function: Any, source: nn.Linear) -> None:
        super().__init__()
        self.function, self.state, self.bias = function, State(source.weight.detach()), source.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x, None, None, self.bias, self.state)


def network(swap: Any) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(64, 64), nn.Linear(64, 3)]
    for layer in layers:
        layer.bias.data.normal_()
    return nn.Sequential(swap(layers[0]), nn.GELU(), nn.LayerNorm(64), swap(layers[1])).eval()


def unpacked(layer: nn.Linear) -> nn.Linear:
    layer.weight.data = State(layer.weight.detach()).weight()
    return layer


@pytest.fixture(params=["MatMul4Bit", "MatMul8bitFp", "MatMul8bitLt"])
def simulated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that lives under the name of one of bitsandbytes'."""
    name = "bitsandbytes.autograd._functions"
    base = _Rounding if request.param == "MatMul8bitLt" else _Packed
    made = type(request.param, (base,), {"__module__": name})
    functional = types.ModuleType("bitsandbytes.functional")
    functional.dequantize_4bit = lambda packed, state: state.weight()  # type: ignore[attr-defined]
    module = types.ModuleType(name)
    setattr(module, request.param, made)
    for part in ("bitsandbytes", "bitsandbytes.autograd"):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    monkeypatch.setitem(sys.modules, "bitsandbytes.functional", functional)
    monkeypatch.setitem(sys.modules, name, module)
    return made


@pytest.mark.parametrize("composite", COMPOSITES)
def test_packed_equals_unpacked(simulated: Any, composite: str) -> None:
    model = network(lambda layer: Packed(simulated, layer))
    was = snapshot(model)
    with torch.no_grad():
        plain = model(X)
    got = lxt.attribute(model, X, 1, composite, ledger=True)
    assert torch.equal(got.output, plain)
    fast = lxt.attribute(model, X, 1, composite)
    assert relative_error(fast.relevance, got.relevance) < 1e-6
    assert "apply" not in vars(simulated)
    assert differences(was, model) == []
    assert got.ledger is not None
    assert got.ledger.closed
    loss = got.ledger.entries.get("rounding", torch.zeros(2)).abs().max()
    if simulated.__name__ == "MatMul8bitLt":
        assert float(loss) > 1e-4
    else:
        assert float(loss) < 1e-6
        want = lxt.attribute(network(unpacked), X, 1, composite)
        assert relative_error(got.relevance, want.relevance) < 1e-5


def test_the_gradient_is_the_kernels_own(simulated: Any) -> None:
    model = network(lambda layer: Packed(simulated, layer))
    x = X.clone().requires_grad_()
    model(x)[:, -1, 1].sum().backward()
    got = lxt.attribute(model, X, 1, "gradient").relevance
    assert x.grad is not None
    assert torch.allclose(got, X * x.grad, atol=1e-7)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("composite", COMPOSITES)
def test_bitsandbytes(bits: int, composite: str) -> None:
    found: Any = pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed").nn

    def swap(source: nn.Linear) -> nn.Module:
        sizes = (source.in_features, source.out_features)
        weight = source.weight.detach().clone()
        if bits == 4:
            layer = found.Linear4bit(*sizes, compute_dtype=torch.float32, quant_type="nf4")
            layer.weight = found.Params4bit(weight, requires_grad=False, quant_type="nf4")
        else:
            layer = found.Linear8bitLt(*sizes, has_fp16_weights=False)
            layer.weight = found.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
        layer.bias = source.bias
        return layer.to("cpu")

    model = network(swap)
    if bits == 4:
        model.train()  # in eval mode its CPU kernel has no gradient
    with torch.no_grad():
        plain = model(X)
    got = lxt.attribute(model, X, 1, composite, ledger=True)
    assert torch.equal(got.output, plain)
    assert got.ledger is not None
    assert got.ledger.closed


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["Int8WeightOnlyConfig", "Float8WeightOnlyConfig"])
def test_torchao(way: str) -> None:
    ao: Any = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
    model = network(lambda layer: layer)
    want = lxt.attribute(model, X, 1).relevance
    ao.quantize_(model, getattr(ao, way)())
    assert type(model[0].weight).__module__.startswith("torchao")
    with torch.no_grad():
        plain = model(X)
    got = lxt.attribute(model, X, 1, ledger=True)
    assert torch.equal(got.output, plain)
    assert got.ledger is not None
    assert got.ledger.closed
    assert 0 < relative_error(got.relevance, want) < 0.1
