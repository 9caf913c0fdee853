"""Convolutional networks as people write them: every composite, no edit of the model."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like import errors, rules
from lxt_like.composites import PRESETS
from tests.models.cnn import CNNS, build_cnn
from tests.oracles.arrays import relative_error
from tests.restore.snapshot import differences, snapshot
from tests.support import closing_error, random

# gradients, not LRP: nothing to conserve
GRADIENTS = {"gradient", "deconvnet", "guided_backprop", "beta_smooth"}
CONSERVING = sorted(set(PRESETS) - GRADIENTS)
COMMON = [rules.ConstantScale(), rules.Identity(), rules.WinnerTakesAll(), rules.Proportional()]
COMMON += [rules.Uniform(), rules.UniformAttention(), rules.Taylor()]
LINEAR = [
    *(rules.Zero(), rules.Epsilon(0.01), rules.Epsilon(0.01, zero_bias=True), rules.ZPlus()),
    *(rules.AlphaBeta(), rules.Gamma(), rules.Gamma(10.0), rules.ClassicGamma()),
]


@pytest.mark.parametrize("name", CNNS)
@pytest.mark.parametrize("composite", CONSERVING)
def test_the_account_closes(name: str, composite: str) -> None:
    model, x = build_cnn(name), random(2, 3, 12, 12)
    before, logits = snapshot(model), model(x)
    found = lxt.attribute(model, x, composite=composite, ledger=True)
    assert differences(before, model) == []
    assert torch.equal(found.output, logits)
    book = found.ledger
    assert book is not None
    moved = book.score.abs() + sum(v.abs() for v in book.entries.values())
    moved = moved + found.relevance.abs().flatten(1).sum(1)
    assert float(((book.gap.abs() + book.unruled) / moved).max()) < 1e-12
    assert float(found.relevance.abs().sum()) > 0
    plain = lxt.attribute(model, x, composite=composite)
    assert relative_error(plain.relevance, found.relevance) < 1e-12


@pytest.mark.parametrize("name", CNNS)
def test_a_batch_is_its_samples(name: str) -> None:
    model, x = build_cnn(name), random(3, 3, 12, 12)
    for composite in ("epsilon_plus_flat", "epsilon_gamma_box", "epsilon_alpha2_beta1"):
        together = lxt.attribute(model, x, target=1, composite=composite).relevance
        alone = [
            lxt.attribute(model, x[i : i + 1], target=1, composite=composite).relevance
            for i in range(3)
        ]
        assert relative_error(together, torch.cat(alone)) < 1e-12


class Normed(nn.Module):
    """conv -> BatchNorm -> (ReLU) -> linear -> BatchNorm -> ReLU -> linear."""

    def __init__(self, twice: bool = False) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 6, 3, groups=2), nn.BatchNorm2d(6)
        self.up, self.up_norm = nn.ConvTranspose2d(6, 4, 2, groups=2), nn.BatchNorm2d(4)
        self.dense, self.dense_norm = nn.Linear(4, 5), nn.BatchNorm1d(5)
        self.head = nn.Linear(5, 3)
        self.twice = twice

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x)
        y = F.relu(self.norm(z))
        if self.twice:
            y = y + F.relu(z)
        y = F.relu(self.up_norm(self.up(y))).mean((2, 3))
        return self.head(F.relu(self.dense_norm(self.dense(y))))


def normed(twice: bool = False) -> nn.Module:
    torch.manual_seed(9)
    model = Normed(twice)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.weight.data.normal_()
            module.bias.data.normal_()
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.double().eval()


def folded(model: nn.Module) -> nn.Module:
    """The same network with each BatchNorm folded into the weights before it, by hand."""
    model = copy.deepcopy(model)
    for layer, norm in (("conv", "norm"), ("up", "up_norm"), ("dense", "dense_norm")):
        linear, batch = getattr(model, layer), getattr(model, norm)
        scale = batch.weight.data / torch.sqrt(batch.running_var + batch.eps)
        w = linear.weight.data
        for channel in range(len(scale)):
            if isinstance(linear, nn.ConvTranspose2d):  # [in, out / groups]: two groups of 3 -> 2
                group, at = divmod(channel, 2)
                w[3 * group : 3 * group + 3, at] *= scale[channel]
            else:
                w[channel] *= scale[channel]
        linear.bias.data = (linear.bias.data - batch.running_mean) * scale + batch.bias.data
        setattr(model, norm, nn.Identity())
    return model.eval()


@pytest.mark.parametrize("rule", LINEAR, ids=repr)
def test_a_batch_norm_is_merged(rule: rules.Rule) -> None:
    model, x = normed(), random(2, 2, 5, 5)
    merged = folded(model)
    assert relative_error(model(x), merged(x)) < 1e-12
    composite = lxt.Composite([rule, *COMMON])
    found, want = (
        lxt.attribute(m, x, target=1, composite=composite, ledger=True) for m in (model, merged)
    )
    assert relative_error(found.relevance, want.relevance) < 1e-10
    size = float(found.relevance.abs().sum())
    assert size > 0
    assert found.ledger is not None and found.ledger.closed
    assert float(found.ledger.unruled.max()) < 1e-12 * size


def test_nothing_is_merged_where_another_reads_the_output() -> None:
    """The second reader's relevance belongs to the convolution's own output, not the norm's."""
    model, x = normed(twice=True), random(2, 2, 5, 5)
    composite = lxt.Composite([rules.ZPlus(), *COMMON])
    found = lxt.attribute(model, x, target=1, composite=composite, ledger=True, layers=["conv"])
    assert found.ledger is not None and found.ledger.closed
    assert float(found.ledger.unruled.max()) < 1e-12 * float(found.relevance.abs().sum())
    # the convolution shares what arrived at its own output, whoever it came from
    assert isinstance(model.conv, nn.Conv2d)
    z = model.conv(x)
    leaf = x.clone().requires_grad_()
    with lxt.patch(model.conv, composite):
        out = model.conv(leaf)
        (out / z.detach() * found.layers["conv"]).sum().backward()
    assert relative_error(x * leaf.grad, found.relevance) < 1e-10


@pytest.mark.parametrize("rule", LINEAR[1:], ids=repr)
def test_an_output_may_be_overwritten(rule: rules.Rule) -> None:
    """relu_, += and the like read z where the rule still needs it."""

    def run(in_place: bool, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        class Model(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                z = F.conv2d(x, w, b)
                if in_place:
                    z += 1.0
                    z = F.relu(z, inplace=True)
                else:
                    z = F.relu(z + 1.0)
                return z.mean((2, 3))

        composite = lxt.Composite([rule, *COMMON])
        relevance: Tensor = lxt.attribute(Model(), x, target=1, composite=composite).relevance
        return relevance

    x, w, b = random(2, 2, 4, 4), random(3, 2, 2, 2), random(3)
    assert relative_error(run(True, x, w, b), run(False, x, w, b)) < 1e-12


FIRST: list[Any] = [rules.ZBox(-3.0, 3.0), rules.WSquare(), rules.Flat()]


NORMALISED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "inline": lambda x, mean, std: (x - mean) / std,
    "reversed": lambda x, mean, std: (mean - x) / -std,
    "in place": lambda x, mean, std: x.sub_(mean).div_(std),
    "written": lambda x, mean, std: in_place(x.clone(), mean, std),
    "moved": lambda x, mean, std: (
        ((x.flatten(2).transpose(1, 2) - mean.flatten()) / std.flatten())
        .transpose(1, 2)
        .unflatten(2, x.shape[2:])
    ),
}


def in_place(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    x -= mean
    x *= 1 / std
    return x


@pytest.mark.parametrize("rule", FIRST, ids=repr)
class TestFirstLayer:
    def composite(self, rule: rules.Rule, **where: Any) -> lxt.Composite:
        return lxt.Composite([rules.ZPlus(), *COMMON, lxt.Assign(rule, **where)])

    def test_refused_in_the_interior(self, rule: rules.Rule) -> None:
        model, x = build_cnn("lenet"), random(1, 3, 12, 12)
        where = {"name": "3"}
        with pytest.raises(errors.RuleError, match="conv2d in 3 reads something else"):
            lxt.attribute(model, x, composite=self.composite(rule, **where))

    def test_refused_by_patch(self, rule: rules.Rule) -> None:
        with pytest.raises(errors.CompositeError, match="use lxt\\.attribute"):
            lxt.patch(build_cnn("lenet"), self.composite(rule, where="first"))

    def test_inputs_may_be_normalised_moved_and_padded_before(self, rule: rules.Rule) -> None:
        model = build_cnn("lenet")

        class Front(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                x = x.permute(0, 3, 1, 2) / 255.0
                x = (x - torch.tensor([0.4, 0.5, 0.6]).view(-1, 1, 1).double()) * 2.0
                return model(F.pad(x.contiguous(), (1, 1, 1, 1), value=0.5))

        raw = random(2, 10, 10, 3).abs() * 100
        if isinstance(rule, rules.ZBox):
            rule = rules.ZBox(0.0, 400.0)
        composite = self.composite(rule, where="first")
        found = lxt.attribute(Front(), raw, target=2, composite=composite, ledger=True)

        def prepared(pixels: Tensor) -> Tensor:
            shift = torch.tensor([0.4, 0.5, 0.6]).view(-1, 1, 1).double()
            ready = (pixels.permute(0, 3, 1, 2) / 255 - shift) * 2
            return F.pad(ready, (1, 1, 1, 1), value=0.5)

        ready = prepared(raw)
        if isinstance(rule, rules.ZBox):
            ends = (prepared(torch.full_like(raw[:1], end)) for end in (0.0, 400.0))
            composite = self.composite(rules.ZBox(*ends), where="first")
        direct = lxt.attribute(model, ready, target=2, composite=composite).relevance
        inside = direct[:, :, 1:-1, 1:-1].permute(0, 2, 3, 1)
        assert relative_error(found.relevance, inside) < 1e-12
        # what falls on the frame is a constant's
        assert found.ledger is not None
        frame = direct.sum((1, 2, 3)) - inside.sum((1, 2, 3))
        if isinstance(rule, rules.ZBox):  # which is 0 where low = x = high
            assert "constant" not in found.ledger.entries and float(frame.abs().max()) < 1e-12
            return
        assert relative_error(found.ledger.entries["constant"], frame) < 1e-9

    @pytest.mark.parametrize("name", ["unfold", "unfold, strided", "constant_pad_nd"])
    def test_a_frame_takes_its_share_however_it_is_added(self, rule: rules.Rule, name: str) -> None:
        """Patches cut out by F.unfold and a product are the convolution of the padded input."""
        stride = 2 if "strided" in name else 1

        class Net(nn.Module):
            def __init__(self, direct: bool) -> None:
                super().__init__()
                self.direct = direct
                self.weight, self.bias = random(4, 2, 3, 3), random(4, seed=1)
                self.head = random(4, 3, seed=2)

            def forward(self, x: Tensor) -> Tensor:
                if self.direct or name == "constant_pad_nd":
                    pad = F.pad if self.direct else torch.constant_pad_nd
                    padded = pad(x, (1, 1, 1, 1))
                    z = F.conv2d(padded, self.weight, self.bias, stride).flatten(2)
                else:
                    patches = F.unfold(x, 3, padding=1, stride=stride).transpose(1, 2)
                    z = F.linear(patches, self.weight.flatten(1), self.bias).transpose(1, 2)
                return z.relu().mean(-1) @ self.head

        x, composite = random(2, 2, 6, 6), self.composite(rule, where="first")
        want, found = (
            lxt.attribute(Net(direct), x, 1, composite, ledger=True) for direct in (True, False)
        )
        assert relative_error(found.relevance, want.relevance) < 1e-12
        assert found.ledger is not None and want.ledger is not None
        assert closing_error(found.ledger) < 1e-12
        for cause, amounts in want.ledger.entries.items():
            assert relative_error(found.ledger.entries[cause], amounts) < 1e-9, cause

    @pytest.mark.parametrize("ledger", [False, True])
    @pytest.mark.parametrize("way", NORMALISED)
    def test_a_normalisation_may_be_the_model_s(
        self, rule: rules.Rule, way: str, ledger: bool
    ) -> None:
        """Bounds are those of the explained input: both forms of one model agree."""
        core = build_cnn("lenet")
        mean = torch.tensor([0.4, 0.5, 0.6]).view(-1, 1, 1).double()
        std = torch.tensor([0.2, -0.3, 0.25]).view(-1, 1, 1).double()

        class Whole(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return core(NORMALISED[way](x, mean, std))

        x = torch.rand(2, 3, 12, 12, dtype=torch.float64)
        pixels = rule
        if isinstance(rule, rules.ZBox):
            pixels = rules.ZBox(0.0, 1.0)
            ends = (0 - mean) / std, (1 - mean) / std
            rule = rules.ZBox(torch.minimum(*ends), torch.maximum(*ends))
        with warnings.catch_warnings():
            warnings.simplefilter("error", errors.BoundsWarning)
            want = lxt.attribute(core, (x - mean) / std, 1, self.composite(rule, where="first"))
            composite = self.composite(pixels, where="first")
            found = lxt.attribute(Whole(), x, 1, composite, ledger=ledger)
        assert relative_error(found.relevance, want.relevance) < 1e-12
        assert not ledger or (found.ledger is not None and closing_error(found.ledger) < 1e-12)

    def test_what_was_written_into_is_the_input_no_more(self, rule: rules.Rule) -> None:
        model = build_cnn("lenet")

        class Squashed(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return model(x.tanh_())

        composite = self.composite(rule, where="first")
        for ledger in (False, True):
            with pytest.raises(errors.RuleError, match="reads something else"):
                lxt.attribute(Squashed(), random(1, 3, 12, 12), 1, composite, ledger=ledger)

    def test_zeros_take_their_share(self, rule: rules.Rule) -> None:
        model, x = build_cnn("lenet"), torch.zeros(1, 3, 12, 12).double()
        found = lxt.attribute(model, x, composite=self.composite(rule, where="first"))
        assert float(found.relevance.abs().sum()) > 0


def test_an_input_outside_its_box_is_told() -> None:
    core, x = build_cnn("lenet"), torch.rand(1, 3, 12, 12, dtype=torch.float64)
    box = lxt.composites.EpsilonGammaBox(low=0.0, high=1.0)
    with pytest.warns(errors.BoundsWarning, match=r"outside the box .* 0.5 of its width") as told:
        lxt.attribute(core, x / x.max() * 1.5, 1, box)
    assert len(told) == 1


PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "linear": lambda x, w: F.linear(x, w.t()),
    "matmul": lambda x, w: x @ w,
    "addmm": lambda x, w: torch.addmm(x.new_zeros(5), x, w),
    "einsum": lambda x, w: torch.einsum("bi,io->bo", x, w),
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon_alpha2_beta1", "attnlrp_gamma"])
def test_a_batch_norm_after_any_product(name: str, composite: str) -> None:
    """Merged wherever the channels are known; an einsum keeps its own, and the account closes."""

    class Net(nn.Module):
        def __init__(self, product: Callable[[Tensor, Tensor], Tensor]) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.weight, self.product = nn.Parameter(torch.randn(6, 5)), product
            self.norm, self.head = nn.BatchNorm1d(5), nn.Linear(5, 3)
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.product(x, self.weight)).relu())

    x = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = lxt.attribute(Net(PRODUCTS[name]).double().eval(), x, 0, composite, ledger=True)
    assert found.ledger is not None and float(found.ledger.gap.abs().max()) < 1e-12
    if name != "einsum":  # one meaning, however it is written
        want = lxt.attribute(Net(PRODUCTS["linear"]).double().eval(), x, 0, composite).relevance
        assert torch.allclose(found.relevance, want, atol=1e-12)
