"""The operation oracles conserve relevance and agree with modified gradients by torch autograd."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.oracles import activations, attention, linear, norms, pooling
from tests.oracles.arrays import relative_error, share, total

EXACT = 1e-12


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 31 * len(shape) + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def explained(out: Tensor, *inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """A random relevance out * g, and activation * gradient of the inputs."""
    g = random(*out.shape, seed=7)
    gradients = torch.autograd.grad(out, inputs, g)
    return (out * g).detach(), [
        (x * grad).detach() for x, grad in zip(inputs, gradients, strict=True)
    ]


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return random(*shape, seed=seed).requires_grad_()


def test_linear_is_x_times_gradient() -> None:
    x, W, b = leaf(2, 3, 5), leaf(4, 5), leaf(4)
    R, (R_x, R_b) = explained(F.linear(x, W, b), x, b)
    parts = linear.linear(x, W, b, R)
    assert relative_error(parts["x"], R_x) < EXACT
    assert relative_error(parts["bias"].sum((0, 1)), R_b) < EXACT
    assert total(parts) == pytest.approx(float(R.sum()), rel=EXACT)


def test_linear_by_hand() -> None:
    # z = 1 * 2 + 2 * 1 - 1 = 3
    parts = linear.linear([2.0, 1.0], [[1.0, 2.0]], [-1.0], [6.0])
    np.testing.assert_allclose(parts["x"], [4.0, 4.0])
    np.testing.assert_allclose(parts["bias"], [-2.0])
    parts = linear.linear([2.0, 1.0], [[1.0, 2.0]], [-1.0], [6.0], epsilon=1.0)
    np.testing.assert_allclose(parts["x"], [3.0, 3.0])
    np.testing.assert_allclose([parts["bias"][0], parts["epsilon"][0]], [-1.5, 1.5])


@pytest.mark.parametrize("epsilon", [0.0, 0.25])
def test_epsilon_conserves(epsilon: float) -> None:
    R = random(3, 4)
    parts = linear.linear(random(3, 5), random(4, 5), random(4), R, epsilon=epsilon)
    assert total(parts) == pytest.approx(float(R.sum()), rel=EXACT)
    assert bool(np.any(parts["epsilon"])) is (epsilon > 0)


CONVOLUTIONS: dict[
    str, tuple[Callable[..., Tensor], tuple[int, ...], tuple[int, ...], dict[str, int]]
] = {
    "1d": (F.conv1d, (2, 4, 9), (6, 4, 3), {"stride": 2, "padding": 1}),
    "1d grouped, dilated": (F.conv1d, (2, 4, 9), (6, 2, 3), {"groups": 2, "dilation": 2}),
    "2d": (F.conv2d, (2, 3, 5, 6), (4, 3, 3, 2), {"stride": 2, "padding": 1}),
    "3d": (F.conv3d, (1, 2, 3, 4, 3), (2, 2, 2, 2, 2), {}),
    "1d transposed": (F.conv_transpose1d, (2, 4, 5), (4, 3, 3), {"stride": 2, "padding": 1}),
    "2d transposed, grouped": (F.conv_transpose2d, (1, 4, 3, 2), (4, 2, 2, 3), {"groups": 2}),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_convolution_is_x_times_gradient(kind: str) -> None:
    function, x_shape, w_shape, options = CONVOLUTIONS[kind]
    transposed = "transposed" in kind
    channels = w_shape[1] * options.get("groups", 1) if transposed else w_shape[0]
    x, W, b = leaf(*x_shape), leaf(*w_shape), leaf(channels)
    R, (R_x, R_b) = explained(function(x, W, b, **options), x, b)
    parts = linear.convolution(x, W, b, R, transposed=transposed, **options)
    spatial = tuple(range(2, x.ndim))
    assert relative_error(parts["x"], R_x) < EXACT
    assert relative_error(parts["bias"].sum((0, *spatial)), R_b) < EXACT
    assert total(parts) == pytest.approx(float(R.sum()), rel=EXACT)


def test_add_shares_by_value() -> None:
    parts = linear.add([[1.0, -1.0], [3.0, 2.0]], [8.0, 1.0])
    np.testing.assert_allclose(parts, [[2.0, -1.0], [6.0, 2.0]])


def test_softmax_is_x_times_gradient() -> None:
    x = leaf(3, 6)
    s = x.softmax(-1)
    R, (R_x,) = explained(s, x)
    parts = attention.softmax(x, R)
    assert relative_error(parts["x"], R_x) < EXACT
    assert total(parts) == pytest.approx(float(R.sum()), rel=EXACT)


def test_softmax_entry_is_the_expansion_constant() -> None:
    x = random(5)
    s = x.softmax(-1)
    jacobian = torch.func.jacrev(lambda t: t.softmax(-1))(x)
    R = random(5, seed=3)
    constant = (s - jacobian @ x) / s * R
    assert relative_error(attention.softmax(x, R)["softmax"], constant) < EXACT


def test_masked_scores_carry_nothing() -> None:
    x = random(2, 4)
    x[0, 1:3] = -torch.inf
    x[1] = -torch.inf
    R = random(2, 4, seed=1) * (x > -torch.inf)
    parts = attention.softmax(x, R)
    assert np.all(parts["x"][0, 1:3] == 0)
    assert np.all(parts["x"][1] == 0)
    kept = attention.softmax(x[0, [0, 3]], R[0, [0, 3]])
    assert relative_error(parts["x"][0, [0, 3]], kept["x"]) < EXACT
    assert total(parts) == pytest.approx(float(R.sum()), rel=EXACT)


def test_matmul_gives_half_of_gradient_times_input() -> None:
    a, b = leaf(3, 4), leaf(4, 2)
    R, (R_a, R_b) = explained(a @ b, a, b)
    parts = attention.matmul(a, b, R)
    assert relative_error(parts["a"], R_a / 2) < EXACT
    assert relative_error(parts["b"], R_b / 2) < EXACT
    assert total(parts) == pytest.approx(float(R.sum()), rel=EXACT)


def test_product_gives_half_to_either_factor() -> None:
    R = random(3)
    parts = attention.product(random(3), random(3), R)
    np.testing.assert_array_equal(parts["a"], R.numpy() / 2)
    np.testing.assert_array_equal(parts["b"], R.numpy() / 2)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_is_quarter_quarter_half(kv_heads: int, causal: bool) -> None:
    q, k, v, B = leaf(4, 5, 3), leaf(kv_heads, 5, 3, seed=1), leaf(kv_heads, 5, 2), leaf(4, 5, 5)
    groups = 4 // kv_heads
    keys, values = (t.repeat_interleave(groups, dim=0) for t in (k, v))
    scores = q @ keys.mT / math.sqrt(3) + B
    if causal:
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    R, (R_q, R_k, R_v, R_B) = explained(scores.softmax(-1) @ values, q, k, v, B)
    parts = attention.attention(q, k, v, R, bias=B, causal=causal)
    for name, want in (("q", R_q / 4), ("k", R_k / 4), ("v", R_v / 2), ("bias", R_B / 2)):
        assert relative_error(parts[name], want) < EXACT, name
    assert total(parts) == pytest.approx(float(R.sum()), rel=1e-11)


def test_cp_attention_gives_all_to_the_value() -> None:
    q, k, v = leaf(2, 4, 3), leaf(2, 4, 3, seed=1), leaf(2, 4, 3, seed=2)
    weights = (q @ k.mT * 0.7).softmax(-1).detach()
    R, (R_v,) = explained(weights @ v, v)
    parts = attention.attention(q, k, v, R, scale=0.7, composite="cp_lrp")
    assert relative_error(parts["v"], R_v) < EXACT
    assert not any(parts[name].any() for name in ("q", "k", "bias", "softmax"))
    assert total(parts) == pytest.approx(float(R.sum()), rel=EXACT)


def test_attention_ignores_keys_masked_by_a_bias() -> None:
    q, k, v, R = random(1, 3, 4), random(1, 5, 4), random(1, 5, 4, seed=2), random(1, 3, 4)
    mask = torch.zeros(1, 1, 5, dtype=torch.float64)
    mask[..., 3:] = -torch.inf
    masked = attention.attention(q, k, v, R, bias=mask)
    short = attention.attention(q, k[:, :3], v[:, :3], R)
    for name in "qkv":
        assert relative_error(masked[name][:, :3], short[name]) < EXACT
    assert not masked["k"][:, 3:].any()
    lowest = torch.finfo(torch.float32).min  # what Hugging Face's eager attention adds
    finite = attention.attention(q, k, v, R, bias=mask.clamp(min=lowest))
    assert relative_error(finite["q"], masked["q"]) < EXACT


def held(x: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    return (x - mean) / (variance + eps).sqrt().detach()


def test_layer_norm_holds_only_its_scale() -> None:
    x, w, b = leaf(3, 6), leaf(6), leaf(6, seed=5)
    normed = held(x, x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0), 1e-3)
    out = normed * w + b
    torch.testing.assert_close(out, F.layer_norm(x, (6,), w, b, 1e-3))
    R, (R_x, R_b) = explained(out, x, b)
    parts = norms.layer_norm(x, w, b, R, eps=1e-3)
    assert relative_error(parts["x"], R_x) < EXACT
    assert relative_error(parts["bias"].sum(0), R_b) < EXACT
    assert total(parts) == pytest.approx(float(R.sum()), rel=1e-11)


def test_rms_norm_hands_everything_on() -> None:
    x, w = leaf(3, 6), leaf(6)
    R, (R_x,) = explained(x * x.pow(2).mean(-1, keepdim=True).add(1e-6).rsqrt().detach() * w, x)
    assert relative_error(norms.rms_norm(x, w, R)["x"], R_x) < EXACT
    assert relative_error(R_x, R) < EXACT


def test_group_norm_holds_only_its_scale() -> None:
    x, w, b = leaf(2, 6, 2, 3), leaf(6), leaf(6, seed=5)
    grouped = x.reshape(2, 3, -1)
    mean, variance = grouped.mean(-1, keepdim=True), grouped.var(-1, keepdim=True, correction=0)
    out = held(grouped, mean, variance, 1e-5).reshape(x.shape)
    out = out * w[:, None, None] + b[:, None, None]
    torch.testing.assert_close(out, F.group_norm(x, 3, w, b))
    R, (R_x, R_b) = explained(out, x, b)
    parts = norms.group_norm(x, 3, w, b, R)
    assert relative_error(parts["x"], R_x) < EXACT
    assert relative_error(parts["bias"].sum((0, 2, 3)), R_b) < EXACT


def test_batch_norm_in_eval_is_a_scale_and_a_shift() -> None:
    x, w, b, mean, variance = leaf(2, 3, 4), leaf(3), leaf(3, seed=4), random(3), random(3) ** 2
    out = F.batch_norm(x, mean, variance, w, b)
    R, (R_x,) = explained(out, x)
    parts = norms.batch_norm(x, mean, variance, w, b, R)
    assert relative_error(parts["x"], R_x) < EXACT
    assert total(parts) == pytest.approx(float(R.sum()), rel=EXACT)


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("kind", ["max", "average"])
def test_pooling_is_x_times_gradient(kind: str, padding: int) -> None:
    x = leaf(2, 3, 5, 6)
    options: dict[str, int] = {"stride": 2, "padding": padding}
    torch_pool: Any = {"max": F.max_pool2d, "average": F.avg_pool2d}[kind]
    oracle: Any = {"max": pooling.max_pool, "average": pooling.average_pool}[kind]
    R, (R_x,) = explained(torch_pool(x, 3, **options), x)
    parts = oracle(x, R, kernel=3, **options)
    assert relative_error(parts["x"], R_x) < EXACT
    assert total(parts) == pytest.approx(float(R.sum()), rel=EXACT)


def test_max_pool_gives_a_tie_to_the_first() -> None:
    parts = pooling.max_pool([[[2.0, 2.0, 1.0]]], [[[5.0]]], kernel=3, stride=3)
    np.testing.assert_array_equal(parts["x"], [[[5.0, 0.0, 0.0]]])


TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": F.silu,
    "mish": F.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "elu": F.elu,
    "exp": torch.exp,
}


@pytest.mark.parametrize("name", activations.FUNCTIONS)
def test_activation(name: str) -> None:
    f = TORCH[name]
    x = torch.tensor([-30.0, -5.0, -1.0, -0.3, 0.3, 1.0, 5.0, 30.0], dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64)
    assert relative_error(activations.value(name, x), f(x)) < 1e-14
    assert activations.offset(name) == pytest.approx(float(f(zero)), abs=1e-16)
    assert relative_error(activations.ratio(name, x), (f(x) - f(zero)) / x) < 1e-14
    slope = torch.func.grad(f)(zero)
    assert activations.ratio(name, 0.0) == pytest.approx(float(slope), abs=1e-15)
    # exp(-30) has to share its relevance with an offset of 1: nothing exact is left there
    R = random(8) * (f(x) != 0) * (x.abs() <= 5)
    parts = activations.activation(name, x, R)
    assert total(parts) == pytest.approx(float(R.sum()), rel=EXACT)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [1e-3, 1e-7, 1e-12, 1e-30, 1e-45, 5e-324])
def test_activation_ratio_does_not_cancel(size: float, sign: int) -> None:
    x = sign * size
    # the first terms of each series at 0; the next one is below 1e-9 at 1e-3
    series = {
        "gelu": 0.5 + x / math.sqrt(2 * math.pi),
        "silu": 0.5 + x / 4,
        "tanh": 1 - x**2 / 3,
        "sigmoid": 1 / 4 - x**2 / 48,
        "softplus": 1 / 2 + x / 8,
        "elu": 1 + x / 2 + x**2 / 6 if x < 0 else 1.0,
        "exp": 1 + x / 2 + x**2 / 6,
    }
    for name, want in series.items():
        assert activations.ratio(name, x) == pytest.approx(want, rel=1e-9), name


def test_nothing_is_shared_at_zero_in_silence() -> None:
    np.testing.assert_array_equal(share([0.0, 2.0], [0.0, 4.0]), [0.0, 0.5])
    with pytest.raises(ZeroDivisionError, match="exactly 0"):
        share([1.0], [0.0])
    np.testing.assert_array_equal(share([1.0], [0.0], 0.5), [2.0])
