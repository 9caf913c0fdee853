"""SmoothGrad, integrated gradients and occlusion against captum and by definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import InputError
from tests.models import zoo
from tests.models.cnn import build_cnn
from tests.models.tiny import build, inputs
from tests.oracles.arrays import relative_error
from tests.support import random

TARGET = 2


def smooth_net() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))
    return nn.Sequential(*layers).double().eval()


class Gated(nn.Module):
    """Takes a float mask of the same shape as its input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.net(x * mask)


class TwoInputs(Gated):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.net(x * y)


class Difference(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return ((x - y) ** 2).sum(1, keepdim=True)


METHODS = [lxt.integrated_gradients, lxt.smooth_grad, lxt.occlusion]


class TestWhatIsPerturbed:
    @pytest.mark.parametrize("method", METHODS)
    def test_the_order_of_the_arguments_says_nothing(self, method: Any) -> None:
        model, x, mask = Gated().eval(), random(2, 5), random(2, 5) > 0
        given = {"x": x, "mask": mask.double()}
        turned = dict(reversed(given.items()))
        want = method(model, given, TARGET).relevance
        assert torch.equal(method(model, turned, TARGET).relevance, want)
        # zero but for rounding: a kernel may sum another row of the batch in another order
        assert float(want[~mask].abs().max()) < 1e-15

    def test_integrated_gradients_are_complete_behind_a_mask(self) -> None:
        model, x, mask = Gated().eval(), random(2, 5), (random(2, 5) > 0).double()
        found = lxt.integrated_gradients(model, {"mask": mask, "x": x}, TARGET, steps=200)
        with torch.no_grad():
            gain = (model(x, mask) - model(0 * x, mask))[:, TARGET]
        assert torch.allclose(found.relevance.sum(1), gain, rtol=1e-4)

    @pytest.mark.parametrize("method", METHODS)
    def test_token_ids_that_have_no_embeddings_to_give(self, method: Any) -> None:
        model, given = build("bert"), inputs("bert")
        with pytest.raises(InputError, match="a tensor of them; give their embeddings"):
            method(model, given["input_ids"], 1)
        bart = zoo.build("bart", "seq2seq-lm")
        with pytest.raises(InputError, match="got decoder_input_ids; give their embeddings"):
            method(bart, zoo.example(bart), 1)


class TestIntegratedGradients:
    def test_captum(self) -> None:
        captum = pytest.importorskip("captum.attr")
        model, x = smooth_net(), random(3, 2, 4, 4)
        found = lxt.integrated_gradients(model, x, TARGET, steps=40, baseline=0.3, batch_size=7)
        want = captum.IntegratedGradients(model).attribute(
            x, baselines=0.3, target=TARGET, n_steps=40, method="riemann_middle"
        )
        assert relative_error(found.relevance, want) < 1e-6

    def test_definition(self) -> None:
        """In the precision of the model: points on the path as well as gradients."""
        model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double().eval()
        x, start, classes = random(3, 5), random(5, seed=1), [2, 0, 1]
        found = lxt.integrated_gradients(model, x, classes, steps=7, baseline=start, batch_size=3)
        mean = torch.zeros_like(x)
        for k in range(7):
            at = (start + (k + 0.5) / 7 * (x - start)).requires_grad_()
            model(at)[[0, 1, 2], classes].sum().backward()
            mean += at.grad / 7
        assert relative_error(found.gradient, mean) < 1e-13
        assert relative_error(found.relevance, (x - start) * mean) < 1e-13

    def test_it_is_complete(self) -> None:
        model, x = smooth_net(), random(3, 2, 4, 4)
        found = lxt.integrated_gradients(model, x, [0, 1, 2], steps=200)
        with torch.no_grad():
            gain = (model(x) - model(torch.zeros_like(x)))[torch.arange(3), torch.arange(3)]
        assert torch.allclose(found.relevance.flatten(1).sum(1), gain, rtol=1e-4)

    def test_tokens_and_other_inputs(self) -> None:
        model, given = build("bert"), inputs("bert")
        found = lxt.integrated_gradients(model, given, 1, steps=100)
        assert found.relevance.shape == given["input_ids"].shape
        embeds = model.get_input_embeddings()(given["input_ids"])
        rest = {k: v for k, v in given.items() if k != "input_ids"}
        with torch.no_grad():
            ends = [model(inputs_embeds=e, **rest).logits[:, 1] for e in (embeds, 0 * embeds)]
        assert torch.allclose(found.relevance.sum(1), (ends[0] - ends[1]).to(found.relevance), 0.02)

    def test_refusals(self) -> None:
        model, x = build_cnn("lenet"), random(1, 3, 12, 12)
        with pytest.raises(InputError, match="nothing to integrate"):
            lxt.integrated_gradients(model, x, composite="epsilon_plus_flat")
        with pytest.raises(InputError, match="does not broadcast"):
            lxt.integrated_gradients(model, x, baseline=torch.zeros(7))
        with pytest.raises(InputError, match="steps must be a positive whole number"):
            lxt.integrated_gradients(model, x, steps=0)


class TestSmoothGrad:
    def test_a_linear_model_is_its_own_average(self) -> None:
        model, x = nn.Linear(5, 3).double(), random(2, 5)
        found = lxt.smooth_grad(model, x, TARGET, samples=5)
        assert relative_error(found.relevance, x * model.weight[TARGET].detach()) < 1e-12

    @pytest.mark.parametrize("composite", ["gradient", "epsilon_plus", "epsilon_plus_flat"])
    def test_definition(self, composite: str) -> None:
        model, x = build_cnn("lenet"), random(2, 3, 12, 12)
        found = lxt.smooth_grad(model, x, TARGET, composite, samples=5, noise=0.2, batch_size=2)
        again = lxt.smooth_grad(model, x, TARGET, composite, samples=5, noise=0.2, batch_size=2)
        assert torch.equal(found.relevance, again.relevance)
        for i in range(2):
            generator = torch.Generator().manual_seed(0)
            scale = 0.2 * (x[i].max() - x[i].min())
            relevance, gradient = torch.zeros_like(x[i]), torch.zeros_like(x[i])
            for _ in range(5):
                noise = torch.randn((3, 12, 12), generator=generator)
                noisy = (x[i] + noise * scale)[None]
                one = lxt.attribute(model, noisy, TARGET, composite)
                gradient += one.gradient[0] / 5
                relevance += (one.relevance - noisy * one.gradient)[0] / 5
            assert relative_error(found.gradient[i], gradient) < 1e-6
            assert relative_error(found.relevance[i], x[i] * gradient + relevance) < 1e-6

    def test_a_seed_is_a_seed_in_any_batch(self) -> None:
        model, given = TwoInputs().eval(), {"x": random(3, 5), "y": random(3, 5, seed=1)}
        found = lxt.smooth_grad(model, given, TARGET, samples=7).relevance
        turned = dict(reversed(given.items()))
        for size in (1, 3, 16):
            again = lxt.smooth_grad(model, turned, TARGET, samples=7, batch_size=size).relevance
            for i in range(3):
                one = {name: v[i : i + 1] for name, v in given.items()}
                alone = lxt.smooth_grad(model, one, TARGET, samples=7, batch_size=size).relevance
                for name in given:
                    assert relative_error(again[name], found[name]) < 1e-12
                    assert relative_error(alone[name][0], found[name][i]) < 1e-12
        other = lxt.smooth_grad(model, given, TARGET, samples=7, seed=1).relevance
        assert relative_error(other["x"], found["x"]) > 1e-3
        same = {"x": given["x"], "y": given["x"]}  # each input has noise of its own
        both = lxt.smooth_grad(Difference(), same, 0, samples=7).gradient
        assert float(both["x"].abs().min()) > 1e-6

    def test_no_noise_is_the_composite_itself(self) -> None:
        model, given = build("bert"), inputs("bert")
        found = lxt.smooth_grad(model, given, composite="attnlrp", samples=2, noise=0.0)
        plain = lxt.attribute(model, given, composite="attnlrp")
        assert relative_error(found.relevance, plain.relevance) < 1e-5
        assert found.target.labels == plain.target.labels

    def test_the_class_is_that_of_the_clean_input(self) -> None:
        """However strong the noise, what is explained stays."""
        model, x = smooth_net(), random(4, 2, 4, 4)
        predicted = model(x).argmax(1)
        found = lxt.smooth_grad(model, x, samples=3, noise=5.0)
        want = lxt.smooth_grad(model, x, predicted, samples=3, noise=5.0)
        assert torch.equal(found.relevance, want.relevance)
        contrast = lxt.Contrast(None, 0)
        keep = predicted != 0
        lxt.smooth_grad(model, x[keep], contrast, samples=3, noise=5.0)


class TestOcclusion:
    def by_hand(self, model: nn.Module, x: Tensor, size: int, step: int, fill: float) -> Tensor:
        lost, times = torch.zeros_like(x), torch.zeros_like(x)
        with torch.no_grad():
            score = model(x)[:, TARGET]
            for top in range(0, x.shape[2] - size + 1, step):
                for left in range(0, x.shape[3] - size + 1, step):
                    covered = x.clone()
                    at = (
                        slice(None),
                        slice(None),
                        slice(top, top + size),
                        slice(left, left + size),
                    )
                    covered[at] = fill
                    lost[at] += (score - model(covered)[:, TARGET])[:, None, None, None]
                    times[at] += 1
        return lost / times.clamp(min=1)

    @pytest.mark.parametrize(("size", "step"), [(2, 2), (3, 1)])
    def test_images(self, size: int, step: int) -> None:
        model, x = smooth_net(), random(2, 2, 4, 4)
        found = lxt.occlusion(model, x, TARGET, window=size, stride=step, fill=0.5, batch_size=3)
        want = self.by_hand(model, x, size, step, 0.5)
        assert relative_error(found.relevance, want) < 1e-6
        assert found.gradient is None

    def test_features_and_tokens(self) -> None:
        model, x = nn.Linear(5, 3).double(), random(2, 5)
        found = lxt.occlusion(model, x, TARGET)
        assert relative_error(found.relevance, x * model.weight[TARGET].detach()) < 1e-6
        bert, given = build("bert"), inputs("bert")
        tokens = lxt.occlusion(bert, given, 1)
        assert tokens.relevance.shape == given["input_ids"].shape
        embeds = bert.get_input_embeddings()(given["input_ids"]).detach()
        rest: dict[str, Any] = {k: v for k, v in given.items() if k != "input_ids"}
        covered = embeds.clone()
        covered[:, 1] = 0
        with torch.no_grad():
            ends = [bert(inputs_embeds=e, **rest).logits[:, 1] for e in (embeds, covered)]
        assert torch.allclose(
            tokens.relevance[:, 1], (ends[0] - ends[1]).to(tokens.relevance), 1e-3
        )

    def test_a_stride_beyond_the_window(self) -> None:
        model, x = smooth_net(), random(1, 2, 4, 4)
        with pytest.raises(InputError, match="a stride of 3 leaves gaps between windows of 2"):
            lxt.occlusion(model, x, window=2, stride=3)
        whole = lxt.occlusion(model, x, TARGET, window=np.int64(4), stride=1).relevance
        assert torch.equal(whole, lxt.occlusion(model, x, TARGET, window=4).relevance)

    @pytest.mark.parametrize(
        ("window", "message"),
        [
            (9, "larger than the input"),
            ((1, 2, 3), "2 numbers"),
            (0, "positive"),
            ("a", "positive"),
        ],
    )
    def test_refusals(self, window: Any, message: str) -> None:
        with pytest.raises(InputError, match=message):
            lxt.occlusion(smooth_net(), random(1, 2, 4, 4), window=window)
