"""What each method gives, against definitions that do not use its code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.methods import DEFAULT, METHODS, make_methods
from lxt_like.evaluate.methods.baselines import Centre
from lxt_like.evaluate.task import Batch, Row, Task
from lxt_like.evaluate.text import TextTask
from tests.evaluate.conftest import PROCESSOR, pictures, vit


@pytest.mark.parametrize("name", METHODS)
def test_every_method_scores_every_unit_of_texts_and_images(
    text_task: TextTask, texts: list[Row], image_task: ImageTask, images: list[Row], name: str
) -> None:
    for task, rows in ((text_task, texts), (image_task, images)):
        batch = task.prepare(rows)
        methods, left_out = make_methods(task, [name])
        if task.kind not in METHODS[name].kinds:
            assert left_out[name]
            continue
        assert not left_out and len(methods) == METHODS[name].seeds
        scores = methods[0](task, batch)
        assert [len(s) for s in scores] == batch.units
        assert all(s.dtype == torch.float32 and bool(torch.isfinite(s).all()) for s in scores)
        # one sample alone has the scores it has in a batch
        alone = methods[0](task, batch.select([1]))
        torch.testing.assert_close(alone[0], scores[1], rtol=1e-3, atol=1e-4)


def test_lrp_sums_a_word_over_its_tokens_and_a_patch_over_its_pixels(
    text_task: TextTask, texts: list[Row], image_task: ImageTask, images: list[Row]
) -> None:
    batch = text_task.prepare(texts)
    (method,), _ = make_methods(text_task, ["attnlrp"])
    for i, found in enumerate(method(text_task, batch)):
        explained: Any = lxt.explain(
            text_task.model, texts[i].content, tokenizer=text_task.tokenizer, ledger=False
        )
        expected = torch.tensor([w.relevance for w in explained.words])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    pixels = image_task.prepare(images)
    (method,), _ = make_methods(image_task, ["cp_lrp"])
    a = lxt.attribute(image_task.model, {"pixel_values": pixels.inputs["pixels"]}, None, "cp_lrp")
    by_hand = a.relevance.sum(1).reshape(3, 4, 8, 4, 8).sum((2, 4)).flatten(1)
    torch.testing.assert_close(
        torch.stack(method(image_task, pixels)), by_hand, rtol=1e-3, atol=1e-5
    )


def eager(task: ImageTask, pixels: Tensor, target: int) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and gradients as transformers itself returns them."""
    model = vit(attn_implementation="eager")
    out: Any = model(pixels, output_attentions=True)
    slopes = torch.autograd.grad(out.logits[0, target], out.attentions)
    return [a[0].detach() for a in out.attentions], [s[0] for s in slopes]


def test_attention_maps_are_those_of_the_papers(image_task: ImageTask, images: list[Row]) -> None:
    batch = image_task.prepare(images)
    methods, _ = make_methods(image_task, ["raw_attention", "rollout", "chefer"])
    found = {m.name: m(image_task, batch) for m in methods}
    for i in range(3):
        weights, slopes = eager(
            image_task, batch.inputs["pixels"][i : i + 1], int(batch.targets[i])
        )
        one, both = torch.eye(17), torch.eye(17)
        for a, g in zip(weights, slopes, strict=True):
            one = (a.mean(0) / 2 + torch.eye(17) / 2) @ one
            both = both + torch.relu(a * g).mean(0) @ both
        expected = {
            "raw_attention": weights[-1].mean(0)[0, 1:],
            "rollout": one[0, 1:],
            "chefer": both[0, 1:],
        }
        for name, row in expected.items():
            torch.testing.assert_close(found[name][i], row.detach(), rtol=1e-3, atol=1e-6)


def test_frozen_weights_change_nothing(images: list[Row]) -> None:
    free = ImageTask.load(vit(), PROCESSOR)
    frozen = ImageTask.load(vit().requires_grad_(False), PROCESSOR)
    batch = free.prepare(images)
    for name in ("chefer", "gradcam", "attnlrp"):
        (a,), _ = make_methods(free, [name])
        (b,), _ = make_methods(frozen, [name])
        torch.testing.assert_close(a(free, batch), b(frozen, batch))


def test_a_cnn_leaves_out_what_needs_attention() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    ).eval()  # fmt: skip
    task = ImageTask.load(model, {"size": 32, "mean": 0.5, "std": 0.25}, cell=8)
    methods, left_out = make_methods(task)
    assert {"raw_attention", "rollout", "chefer"} == set(left_out)
    assert all(left_out.values())
    batch = task.prepare(pictures(2))
    for method in methods:
        assert [len(s) for s in method(task, batch)] == [16, 16]
    assert "drop" in task.refused


def test_gradcam_of_a_cnn_is_the_weighted_last_map() -> None:
    torch.manual_seed(0)
    convs = nn.Sequential(nn.Conv2d(3, 6, 8, 8), nn.ReLU())
    model = nn.Sequential(convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)).eval()
    task = ImageTask.load(model, {"size": 32, "mean": 0.5, "std": 0.25}, cell=8)
    batch = task.prepare(pictures(1))
    (method,), _ = make_methods(task, ["gradcam"])
    maps = convs(batch.inputs["pixels"])
    linear: Any = model[3]
    weights = linear.weight[int(batch.targets[0])]
    expected = (weights[None, :, None, None] / 16 * maps).sum(1).flatten()
    torch.testing.assert_close(method(task, batch)[0], expected.detach())


def test_random_scores_depend_on_seed_and_sample_alone(
    text_task: TextTask, texts: list[Row]
) -> None:
    methods, _ = make_methods(text_task, ["random"], seed=3)
    assert [m.seed for m in methods] == [3, 4, 5, 6, 7]
    batch = text_task.prepare(texts)
    drawn = [m(text_task, batch) for m in methods]
    assert not torch.equal(drawn[0][0], drawn[1][0])
    back = methods[0](text_task, batch.select([2, 0]))
    assert torch.equal(back[1], drawn[0][0])


def test_the_centre_is_in_the_middle(image_task: ImageTask) -> None:
    batch = image_task.prepare(pictures(1))
    score = Centre()(image_task, batch)[0].reshape(4, 4)
    assert score[1:3, 1:3].min() > score[0].max() and torch.allclose(score, score.flip(0, 1))


def backwards(task: Task, batch: Batch) -> list[Tensor]:
    return [torch.arange(n, 0, -1.0) for n in batch.units]


def test_own_functions_and_composites_are_methods(text_task: TextTask) -> None:
    composite = lxt.composites.AttnLRP(1e-3)
    wanted = [backwards, ("mine", composite), "epsilon", lxt.composites.CPLRP()]
    methods, left_out = make_methods(text_task, wanted)
    assert [m.name for m in methods] == ["backwards", "mine", "epsilon", "cp_lrp"]
    assert not left_out
    with pytest.raises(InputError, match=r"unknown method 'attnlpr'.*attnlrp"):
        make_methods(text_task, ["attnlpr"])
    with pytest.raises(InputError, match="twice"):
        make_methods(text_task, ["rollout", "rollout"])
    with pytest.raises(InputError, match="got int"):
        make_methods(text_task, [3])


def test_default_methods_are_cheap() -> None:
    assert set(DEFAULT) < set(METHODS)
    assert "attnlrp" in DEFAULT and "occlusion" not in DEFAULT


def test_occlusion_is_the_loss_without_each_unit(image_task: ImageTask) -> None:
    batch = image_task.prepare(pictures(1))
    (method,), _ = make_methods(image_task, ["occlusion"])
    pixels = batch.inputs["pixels"]
    target = int(batch.targets[0])
    expected = []
    with torch.no_grad():
        model: Any = image_task.model
        for p in range(16):
            hidden = pixels.clone()
            y, x = p // 4 * 8, p % 4 * 8
            hidden[0, :, y : y + 8, x : x + 8] = pixels.mean((2, 3))[0][:, None, None]
            expected.append(
                float(model(pixels).logits[0, target] - model(hidden).logits[0, target])
            )
    np.testing.assert_allclose(method(image_task, batch)[0].numpy(), expected, atol=2e-5)


SMALL: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8, "num_labels": 3,
}  # fmt: skip
POOLED: dict[str, tuple[Callable[[], nn.Module], list[int]]] = {
    "cls": (lambda: t.ViTForImageClassification(t.ViTConfig(**SMALL)), [0]),
    "mean of the patches, CLS left out": (
        lambda: t.BeitForImageClassification(t.BeitConfig(**SMALL)), [*range(1, 17)],
    ),
    "no CLS": (
        lambda: t.IJepaForImageClassification(t.IJepaConfig(**SMALL)), [*range(16)],
    ),
    "two tokens": (
        lambda: t.DeiTForImageClassificationWithTeacher(t.DeiTConfig(**SMALL)), [0, 1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POOLED)
def test_attention_is_read_where_the_model_reads_its_tokens(name: str) -> None:
    make, rows = POOLED[name]
    torch.manual_seed(0)
    model: Any = make().eval()
    for p in model.parameters():
        nn.init.normal_(p, std=0.2)
    task = ImageTask.load(model, PROCESSOR)
    batch = task.prepare(pictures(1))
    methods, _ = make_methods(task, ["raw_attention", "rollout", "chefer"])
    model.set_attn_implementation("eager")
    out = model(batch.inputs["pixels"], output_attentions=True)
    slopes = torch.autograd.grad(out.logits[0, int(batch.targets[0])], out.attentions)
    weights = [a[0].detach() for a in out.attentions]
    start = torch.eye(len(weights[0][0]))
    rolled = together = start
    for a, g in zip(weights, slopes, strict=True):
        rolled = (a.mean(0) + start) / 2 @ rolled
        together = together + (a * g[0]).clamp(min=0).mean(0) @ together
    expected = {
        "raw_attention": weights[-1].mean(0), "rollout": rolled, "chefer": together - start,
    }  # fmt: skip
    for method in methods:
        wanted = expected.pop(method.name)[rows].mean(0)[-16:]
        torch.testing.assert_close(method(task, batch)[0], wanted, rtol=1e-4, atol=1e-6)
    assert not expected


@pytest.mark.parametrize("name", ["attnlrp_gamma_box", "cp_lrp_gamma_box"])
def test_a_box_is_that_of_the_models_pixels_as_in_explain(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 2, bias=False),
    ).eval()  # fmt: skip

    def dark(image: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 2550

    options: dict[str, Any] = {"processor": dark, "labels": ["a", "b"], "cell": 4}
    explained: Any = lxt.explain(model, pixels, composite=name, **options)
    made = lxt.evaluate(model, [pixels], methods=[name], operators=["zero"], steps=2, **options)
    (row,) = made.tables["relevance"].to_pylist()
    np.testing.assert_allclose(row["values"], explained.patches.flatten(), rtol=1e-4)
    # which bounds they were is part of what a folder holds
    ((_, _, identity),) = made.summary["settings"]["methods"]
    assert '"ZBox"' in identity and '"low": -3.0' not in identity
