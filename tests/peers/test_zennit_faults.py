"""Where zennit is wrong: the fault is shown by running it, and the right answer here.

What is right is computed by :func:`share`, contribution by contribution, from the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import composites
from lxt_like.errors import UnruledError
from tests.support import random

from .nets import TINY, drawn, off, zennit_relevance
from .zennit_stub import Zennit

TARGET = torch.tensor([1, 0, 2])
EXACT = 1e-9


def share(x: Tensor, w: Tensor, b: Tensor | float, R: Tensor, sign: int = 0) -> Tensor:
    """R_i = sum_j c_ij / sum_i' c_i'j R_j with c_ij = x_i w_ij, of one sign if that is given.

    x [batch, in], w [out, in], R [batch, out].  The bias is a contribution that keeps its share.
    """
    part = {0: lambda t: t, 1: lambda t: t.clamp(min=0), -1: lambda t: t.clamp(max=0)}[sign]
    c = part(x[:, None, :] * w)
    total = c.sum(-1) + part(torch.as_tensor(b, dtype=x.dtype))
    return torch.where(total == 0, 0.0, R / total)[:, None, :].matmul(c)[:, 0]


def epsilon(layer: Any, x: Tensor, R: Tensor) -> Tensor:
    """LRP-0 through a dense layer."""
    return share(x, layer.weight, layer.bias, R)


def seed(logits: Tensor) -> Tensor:
    """The relevance at the logits: the target's own value."""
    return torch.zeros_like(logits).scatter(-1, TARGET[:, None], 1.0) * logits


def as_matrix(conv: nn.Conv2d, shape: torch.Size) -> Tensor:
    """A convolution without its bias as a matrix [out, in], column by column."""
    n = shape.numel()
    basis = torch.eye(n, dtype=torch.float64).reshape(n, *shape)
    out = F.conv2d(basis, conv.weight, None, conv.stride, conv.padding)
    return out.reshape(n, -1).T


class Shared(nn.Module):
    """One dense layer, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.relu, self.head = nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.dense(self.relu(self.dense(x)))))


def test_shared_module(zennit: Zennit) -> None:
    """zennit remembers a module's last input only: wrong, while the sum hardly tells."""
    model: Any = drawn(Shared())
    x = random(3, 6, seed=2)
    for p in (model.dense.bias, model.head.bias):
        p.zero_()  # so that the sum has to close
    hidden = model.dense(x).relu()
    last = model.dense(hidden).relu()
    R = epsilon(model.head, last, seed(model.head(last)))
    right = epsilon(model.dense, x, epsilon(model.dense, hidden, R))
    composite = zennit.composites.EpsilonPlus(epsilon=TINY)
    theirs = zennit_relevance(zennit, composite, model, x, TARGET)
    assert off(theirs, right) > 0.1
    assert off(theirs.sum(-1), right.sum(-1)) < EXACT
    ours = lxt.attribute(model, x, TARGET, composites.EpsilonPlus(TINY)).relevance
    assert off(ours, right) < EXACT


class Add(nn.Module):
    """A sum as a module of several inputs."""

    def forward(self, *xs: Tensor) -> Tensor:
        return torch.stack(xs).sum(0)


class Branches(nn.Module):
    """Two dense branches of one input, and their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 5), nn.Linear(6, 5)
        self.add, self.head = Add(), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.add(self.left(x), self.right(x)))


def test_module_of_several_inputs(zennit: Zennit) -> None:
    """zennit gives every input of a module the relevance of the first."""
    model: Any = drawn(Branches())
    x = random(3, 6, seed=3)
    a, b = model.left(x), model.right(x)
    R = epsilon(model.head, a + b, seed(model.head(a + b)))
    right = epsilon(model.left, x, R * a / (a + b)) + epsilon(model.right, x, R * b / (a + b))
    dense = ((nn.Linear,), zennit.rules.Epsilon(TINY))
    composite = zennit.composites.LayerMapComposite(
        [((Add,), zennit.rules.Norm(TINY)), dense],
    )
    theirs = zennit_relevance(zennit, composite, model, x, TARGET)
    assert off(theirs, epsilon(model.left, x, R) + epsilon(model.right, x, R)) < EXACT
    assert off(theirs, right) > 0.1
    ours = lxt.attribute(model, x, TARGET, composites.EpsilonPlus(TINY)).relevance
    assert off(ours, right) < EXACT


class Residual(nn.Module):
    """x + f(x), written as people write it."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.head = nn.Linear(6, 6, bias=False), nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.f(x))


def test_functional_sum(zennit: Zennit) -> None:
    """zennit sends all the relevance down both ways."""
    model: Any = drawn(Residual())
    x = random(3, 6, seed=4)
    y = x + model.f(x)
    logits = model.head(y)
    R = share(y, model.head.weight, 0.0, seed(logits))
    right = R * x / y + share(x, model.f.weight, 0.0, R * model.f(x) / y)
    theirs = zennit_relevance(zennit, zennit.composites.EpsilonPlus(epsilon=TINY), model, x, TARGET)
    score = seed(logits).sum(-1)
    assert off(theirs.sum(-1), 2 * score) < EXACT
    ours = lxt.attribute(model, x, TARGET, composites.EpsilonPlus(TINY)).relevance
    assert off(ours, right) < EXACT
    assert off(ours.sum(-1), score) < EXACT


def normed(bias: bool = True) -> Any:
    """A convolution, its BatchNorm, a dense head; trained statistics; parameters can be trained."""
    model: Any = drawn(
        nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1, bias=bias),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(3 * 16, 4),
        )
    )
    model[1].running_mean.copy_(random(3, seed=1))
    model[1].running_var.copy_(random(3, seed=2).square() + 0.5)
    return model.requires_grad_()


def merging(zennit: Zennit) -> Any:
    """EpsilonPlus with zennit's canonizer for BatchNorm."""
    canonizers = [zennit.canonizers.SequentialMergeBatchNorm()]
    return zennit.composites.EpsilonPlus(epsilon=TINY, stabilizer=TINY, canonizers=canonizers)


def changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """The entries of the state dict that are not as they were, added ones too."""
    now = model.state_dict()
    keys = now.keys() | before.keys()
    return {k for k in keys if k not in now or k not in before or not now[k].equal(before[k])}


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_state_dict(zennit: Zennit, bias: bool) -> None:
    """A checkpoint that is saved while zennit's composite is registered holds other weights."""
    model, x = normed(bias), random(3, 2, 4, 4, seed=6)
    before = copied(model)
    with merging(zennit).context(model):
        inside = changed(model, before)
    assert {"0.weight", "0.bias", "1.weight", "1.running_var"} <= inside
    assert ("0.bias" in before) == bias  # where there was none, it has added one
    assert not changed(model, before)
    with lxt.patch(model, composites.EpsilonPlus(TINY)):
        model(x.clone().requires_grad_())[:, 0].sum().backward()
        assert not changed(model, before)
    lxt.attribute(model, x, TARGET, composites.EpsilonPlus(TINY))
    assert not changed(model, before)


def test_merged_norms_change_the_forward(zennit: Zennit) -> None:
    """zennit's BatchNorm still divides by sqrt(1 + eps) after the merge: other logits."""
    model, x = normed(), random(3, 2, 4, 4, seed=6)
    logits = model(x)
    with merging(zennit).context(model):
        assert 1e-6 < off(model(x), logits) < 1e-4
    with lxt.patch(model, composites.EpsilonPlus(TINY)):
        assert torch.equal(model(x), logits)


def test_merged_norms_agree(zennit: Zennit) -> None:
    """What zennit merges for, ours reaches with the weights as they are."""
    model, x = normed(), random(3, 2, 4, 4, seed=6)
    model[1].eps = 1e-15  # see above
    expected = zennit_relevance(zennit, merging(zennit), model, x, TARGET)
    ours = lxt.attribute(model, x, TARGET, composites.EpsilonPlus(TINY, TINY)).relevance
    assert off(ours, expected) < EXACT


def step_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One step with a gradient of ones."""
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()


def test_optimizer(zennit: Zennit) -> None:
    """A step taken while zennit's composite is registered is undone when it is removed."""
    model, x = normed(), random(3, 2, 4, 4, seed=6)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before = copied(model)
    with merging(zennit).context(model):
        step_of(model, optimizer)
    assert changed(model, before) == {"4.weight", "4.bias"}  # merged ones: the step is lost
    model, before = normed(), copied(normed())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with lxt.patch(model, composites.EpsilonPlus(TINY)):
        model(x.clone().requires_grad_())
        step_of(model, optimizer)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name] - 0.1)


def replaced_in_the_backward(model: Any, x: Tensor, run: Callable[[Tensor], object]) -> bool:
    """Whether somebody who looks during the backward finds another parameter in the model."""
    weight, seen = model[0].weight, []
    watched = model[0].forward

    def forward(*args: Any) -> Tensor:
        seen.append(model[0].weight is not weight)
        found: Tensor = watched(*args)
        return found

    model[0].forward = forward
    try:
        run(x)
    finally:
        del model[0].forward
    assert seen
    return any(seen)


def test_parameters_stay_the_same_objects(zennit: Zennit) -> None:
    """zennit's rules swap parameters for others while the backward runs, seen by every thread."""
    model, x = normed(), random(3, 2, 4, 4, seed=6)

    def theirs(x: Tensor) -> object:
        return zennit_relevance(zennit, merging(zennit), model, x, TARGET)

    def ours(x: Tensor) -> object:
        return lxt.attribute(model, x, TARGET, composites.EpsilonPlus(TINY))

    assert replaced_in_the_backward(model, x, theirs)
    assert not replaced_in_the_backward(model, x, ours)


def test_outputs_that_are_zero(zennit: Zennit) -> None:
    """Relevance at z = 0, as a sigmoid's f(0) gives it: zennit's gamma drops it silently.

    Here f(0) g is declared, so the account closes.
    """
    model: Any = drawn(nn.Sequential(nn.Linear(3, 2, bias=False), nn.Sigmoid(), nn.Linear(2, 4)))
    model[2].bias.zero_()
    model[0].weight[0] = torch.tensor([1.0, 1.0, 0.0])
    x = torch.tensor([[2.0, -2.0, 1.0]] * 3, dtype=torch.float64)  # z_0 = 0
    z, target = model[0](x), TARGET
    assert bool((z[:, 0] == 0).all() and (z[:, 1] != 0).all())
    score = model(x).gather(-1, target[:, None])[:, 0]
    gamma = zennit.rules.Gamma(0.25, stabilizer=TINY)
    epsilon_rule = zennit.rules.Epsilon(TINY)
    rules = [(["0"], gamma), (["1"], zennit.rules.Pass()), (["2"], epsilon_rule)]
    theirs = zennit_relevance(zennit, zennit.composites.NameMapComposite(rules), model, x, target)
    lost = model[2].weight[target, 0] * 0.5  # the relevance of the first hidden unit: w f(0)
    assert off(theirs.sum(-1), score - lost) < EXACT
    composite = composites.Epsilon(TINY) + lxt.Composite(
        [lxt.Assign(lxt.rules.Gamma(0.25, TINY), name="0")]
    )
    a = lxt.attribute(model, x, target, composite, ledger=True)
    assert a.ledger is not None
    # f(0) g at both units is the activation's own, the rest reaches the inputs
    offsets = 0.5 * model[2].weight[target].sum(-1)
    assert off(a.ledger.entries["activation"], offsets) < EXACT
    assert off(a.relevance.sum(-1) + offsets, score) < EXACT
    assert float(a.ledger.gap.abs().max()) < EXACT


class Powers(nn.Module):
    """Something between two layers that no rule is for."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumprod(x, -1)


def test_what_has_no_rule_is_an_error(zennit: Zennit) -> None:
    """zennit silently multiplies relevance by a plain derivative there."""
    model: Any = drawn(nn.Sequential(nn.Linear(6, 4), Powers(), nn.Linear(4, 4, bias=False)))
    x = random(3, 6, seed=8)
    composite = zennit.composites.EpsilonPlus(epsilon=TINY)
    theirs = zennit_relevance(zennit, composite, model, x, TARGET)
    score = model(x).gather(-1, TARGET[:, None])[:, 0]
    assert off(theirs.sum(-1), score) > 0.1
    with pytest.raises(UnruledError, match="cumprod"):
        lxt.attribute(model, x, TARGET, "epsilon_plus")


def test_norms_are_ruled(zennit: Zennit) -> None:
    """A LayerNorm: zennit's plain gradient; here its scale is held constant."""
    model: Any = drawn(nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 4)))
    for p in (model[0].bias, model[1].bias, model[2].bias):
        p.zero_()
    x = random(3, 6, seed=9)
    h = model[0](x)
    scale = (h.var(-1, unbiased=False, keepdim=True) + model[1].eps).rsqrt()
    # the norm with its scale as a number: a matrix for each sample
    centre = torch.eye(6, dtype=torch.float64) - 1 / 6
    R = epsilon(model[2], model[1](h), seed(model(x)))
    R = torch.cat(
        [
            share(h[i : i + 1], scale[i] * model[1].weight[:, None] * centre, 0.0, R[i : i + 1])
            for i in range(3)
        ]
    )
    right = epsilon(model[0], x, R)
    theirs = zennit_relevance(zennit, zennit.composites.EpsilonPlus(epsilon=TINY), model, x, TARGET)
    assert off(theirs, right) > 0.1
    ours = lxt.attribute(model, x, TARGET, composites.EpsilonPlus(TINY)).relevance
    assert off(ours, right) < EXACT


class Backwards(nn.Module):
    """Its head is defined first and runs last."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 16, 4)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(x)).flatten(1))


def test_first_means_what_runs_first(zennit: Zennit) -> None:
    """zennit's flat rule lands on the module that is defined first: the head."""
    model: Any = drawn(Backwards())
    x = random(3, 2, 4, 4, seed=10)
    hidden = model.relu(model.conv(x)).flatten(1)
    R = epsilon(model.head, hidden, seed(model(x)))
    ones = (as_matrix(model.conv, x.shape[1:]) != 0).double()
    right = share(torch.ones(3, 32, dtype=torch.float64), ones, 0.0, R).reshape(x.shape)
    composite = zennit.composites.EpsilonPlusFlat(epsilon=TINY, stabilizer=TINY)
    theirs = zennit_relevance(zennit, composite, model, x, TARGET)
    assert off(theirs, right) > 0.1
    ours = lxt.attribute(model, x, TARGET, composites.EpsilonPlusFlat(TINY)).relevance
    assert off(ours, right) < EXACT


def test_parametrised_weights(zennit: Zennit) -> None:
    """zennit cannot modify a weight that is computed, and z+ silently becomes LRP-0 there."""
    model: Any = drawn(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 4, 4)))
    model[0] = nn.utils.parametrizations.weight_norm(model[0])
    x = random(3, 2, 4, 4, seed=11)
    hidden = model[1](model[0](x))
    R = epsilon(model[2], hidden, seed(model(x)))
    matrix = as_matrix(model[0], x.shape[1:])
    b = model[0].bias.repeat_interleave(4)
    right = share(x.flatten(1), matrix, b, R, sign=1).reshape(x.shape)
    composite = zennit.composites.EpsilonPlus(epsilon=TINY, stabilizer=TINY)
    theirs = zennit_relevance(zennit, composite, model, x, TARGET)
    assert off(theirs, right) > 0.1
    ours = lxt.attribute(model, x, TARGET, composites.EpsilonPlus(TINY)).relevance
    assert off(ours, right) < EXACT
