"""The engine against one-sample-at-a-time loops that share none of its code."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.metrics import srg
from lxt_like.evaluate.removal import ranking, remove, step_counts
from lxt_like.evaluate.task import Row
from lxt_like.evaluate.text import TextTask
from tests.evaluate.conftest import vit

Points = list[float]


def scores_of(units: list[int], seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, generator=generator) for n in units]


def orders(scores: Tensor) -> tuple[list[int], list[int]]:
    down = sorted(range(len(scores)), key=lambda u: -float(scores[u]))
    return down, down[::-1]


def text_logit(
    task: TextTask, words: list[list[int]], ids: list[int], gone: set[int], how: str, target: int
) -> float:
    """One forward of one text; ``words``: the positions of each word."""
    out = {p for w in gone for p in words[w]}
    model: Any = task.model
    given = torch.tensor([ids])
    mask = torch.ones_like(given)
    with torch.no_grad():
        if how == "mask":
            given[0, sorted(out)] = task.tokenizer.mask_token_id
        if how == "drop":
            mask[0, sorted(out)] = 0
        if how == "delete":
            keep = [p for p in range(len(ids)) if p not in out]
            given, mask = given[:, keep], mask[:, keep]
        if how == "zero":
            table = model.get_input_embeddings()(given)
            table[0, sorted(out)] = 0
            return float(model(inputs_embeds=table, attention_mask=mask).logits[0, target])
        return float(model(input_ids=given, attention_mask=mask).logits[0, target])


@pytest.mark.parametrize("how", ["zero", "mask", "drop", "delete"])
def test_texts_equal_a_loop_over_single_forwards(
    text_task: TextTask, texts: list[Row], how: str
) -> None:
    batch = text_task.prepare(texts)
    scores = scores_of(batch.units)
    curves = remove(text_task, batch, scores, how)
    for i, curve in enumerate(curves):
        ids = batch.details[i][0].ids
        words = [
            [p for p, u in enumerate(batch.member[i].tolist()) if u == w]
            for w in range(batch.units[i])
        ]
        for order, found in zip(
            orders(scores[i]), (curve.morf_logit, curve.lerf_logit), strict=True
        ):
            expected = [
                text_logit(text_task, words, ids, set(order[:k]), how, int(batch.targets[i]))
                for k in range(len(order) + 1)
            ]
            np.testing.assert_allclose(found, expected, atol=2e-5)


def naive_image(task: ImageTask, pixels: Tensor, gone: list[int], how: str, target: int) -> float:
    """One forward of one image with 8 x 8 patches in a 4 x 4 grid."""
    model: Any = task.model
    pixels = pixels.clone()
    with torch.no_grad():
        if how == "drop":
            hidden = model.vit.embeddings(pixels)
            keep = [0, *(p + 1 for p in range(16) if p not in gone)]
            hidden = hidden[:, keep]
            for layer in model.vit.layers:
                hidden = layer(hidden)
                hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            return float(model.classifier(model.vit.layernorm(hidden)[:, 0])[0, target])
        fill = {
            "mean": pixels[0].flatten(1).mean(1),
            "zero": torch.zeros(3),
            "black": torch.full((3,), (0 - 0.5) / 0.25),
        }[how]
        for p in gone:
            y, x = divmod(p, 4)
            pixels[0, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = fill[:, None, None]
        return float(model(pixels).logits[0, target])


@pytest.mark.parametrize("how", ["mean", "drop", "zero", "black"])
def test_images_equal_a_loop_over_single_forwards(
    image_task: ImageTask, images: list[Row], how: str
) -> None:
    batch = image_task.prepare(images)
    scores = scores_of(batch.units)
    curves = remove(image_task, batch, scores, how)
    for i, curve in enumerate(curves):
        pixels, target = batch.inputs["pixels"][i : i + 1], int(batch.targets[i])
        for order, found in zip(
            orders(scores[i]), (curve.morf_logit, curve.lerf_logit), strict=True
        ):
            expected = [naive_image(image_task, pixels, order[:k], how, target) for k in range(17)]
            np.testing.assert_allclose(found, expected, atol=5e-5)


def test_dropped_tokens_are_not_computed(image_task: ImageTask, images: list[Row]) -> None:
    lengths: list[int] = []
    layers: Any = image_task.model.vit.layers
    handle = layers[-1].register_forward_pre_hook(
        lambda m, args, kwargs: lengths.append((args or list(kwargs.values()))[0].shape[1]),
        with_kwargs=True,
    )
    batch = image_task.prepare(images)
    lengths.clear()
    remove(image_task, batch, scores_of(batch.units), "drop", steps=4)
    handle.remove()
    assert set(lengths) == {1, 5, 9, 13}  # nothing removed is known from the batch
    assert not any(m._forward_pre_hooks for m in image_task.model.modules())


def test_a_model_that_knows_positions_inside_its_blocks_has_no_token_dropping() -> None:
    from transformers import BeitConfig, BeitForImageClassification

    torch.manual_seed(0)
    config = BeitConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        image_size=32, patch_size=8, num_labels=3, use_relative_position_bias=True,
    )  # fmt: skip
    model = BeitForImageClassification(config).eval()
    task = ImageTask.load(model, {"size": 32, "mean": 0.5, "std": 0.25})
    assert "drop" not in task.operators and "drop" in task.refused
    batch = task.prepare([Row("a", np.zeros((8, 8, 3), dtype="uint8"))])
    with pytest.raises(InputError, match="drop"):
        remove(task, batch, scores_of(batch.units), "drop")


@pytest.mark.parametrize("name", ["IJepa", "Siglip", "Mean", "Sum"])
def test_a_model_that_cannot_answer_without_patches_has_no_token_dropping(name: str) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    model: Any
    if name == "IJepa":
        model = transformers.IJepaForImageClassification(transformers.IJepaConfig(**sizes))
    elif name == "Siglip":
        text = {**sizes, "vocab_size": 9}
        made = transformers.SiglipConfig(vision_config=sizes, text_config=text)
        model = transformers.SiglipForImageClassification(made)
    else:
        model = Pooled(name == "Mean")
    task = ImageTask.load(model.eval(), {"size": 32, "mean": 0.5, "std": 0.25})
    assert task.tokens and task.prefix == 0
    assert ("drop" in task.operators) is (name == "Sum")
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype("uint8")
    made = lxt.evaluate(task, [picture], methods=["random"], steps=3)
    assert len(made.summary["operators"]) == 2
    assert all(np.isfinite(row["mean"]) for row in made.summary["table"])


class Pooled(nn.Module):
    """Patches, two blocks, and their mean or sum: of no patches NaN, or 0."""

    def __init__(self, mean: bool) -> None:
        super().__init__()
        self.mean = mean
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.head = nn.Linear(8, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x).relu()
        out: Tensor = self.head(x.mean(1) if self.mean else x.sum(1))
        return out


def test_the_order_of_a_batch_and_its_size_change_nothing(
    image_task: ImageTask, images: list[Row]
) -> None:
    batch = image_task.prepare(images)
    scores = scores_of(batch.units)
    one = remove(image_task, batch, scores, "drop", steps=5)
    for size in (1, 7):
        other = remove(image_task, batch, scores, "drop", steps=5, batch_size=size)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.morf_logit, b.morf_logit, atol=2e-5)
    back = image_task.prepare(images[::-1])
    turned = remove(image_task, back, scores[::-1], "drop", steps=5)
    np.testing.assert_allclose(turned[0].lerf_logit, one[-1].lerf_logit, atol=2e-5)


def test_the_model_is_as_it_was(image_task: ImageTask, images: list[Row]) -> None:
    before = {n: v.clone() for n, v in image_task.model.state_dict().items()}
    batch = image_task.prepare(images)
    for name in image_task.operators:
        remove(image_task, batch, scores_of(batch.units), name, steps=3)
    after = image_task.model.state_dict()
    assert all(torch.equal(after[n], v) for n, v in before.items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in image_task.model.modules())


def test_equal_scores_are_ordered_by_the_seed_and_the_sample() -> None:
    flat = torch.zeros(20)
    drawn = {tuple(ranking(flat, 20, name, seed)) for name in "ab" for seed in range(3)}
    assert len(drawn) == 6
    assert (ranking(flat, 20, "a", 1) == ranking(flat, 20, "a", 1)).all()
    mixed = torch.tensor([1.0, 5.0, 1.0, 1.0])
    assert ranking(mixed, 4, "a", 0)[0] == 1


def test_many_units_are_removed_in_about_fifty_steps() -> None:
    assert list(step_counts(5)) == [0, 1, 2, 3, 4, 5]
    assert len(step_counts(256)) == 257
    counts = step_counts(784)
    assert counts[0] == 0 and counts[-1] == 784 and len(counts) == 51
    assert list(step_counts(3, 16)) == [0, 1, 2, 3]


def test_scores_that_do_not_fit_are_refused(text_task: TextTask, texts: list[Row]) -> None:
    batch = text_task.prepare(texts)
    scores = scores_of(batch.units)
    with pytest.raises(InputError, match="one score for each"):
        remove(text_task, batch, [torch.zeros(1), *scores[1:]], "mask")
    with pytest.raises(InputError, match="NaN"):
        remove(text_task, batch, [scores[0] * float("nan"), *scores[1:]], "mask")
    with pytest.raises(InputError, match="no removal operator 'blur'"):
        remove(text_task, batch, scores, "blur")


def test_true_attribution_of_an_additive_model_is_the_best_ordering(additive: ImageTask) -> None:
    rows = [Row("a", np.random.default_rng(1).integers(0, 255, (16, 24, 3)).astype("uint8"))]
    batch = additive.prepare(rows)
    model: Any = additive.model
    pixels = batch.inputs["pixels"].mean(1, keepdim=True)
    patches = torch.nn.functional.avg_pool2d(pixels, 8).flatten()
    true = (patches * model.weight[int(batch.targets[0])]).detach()
    best = srg(remove(additive, batch, [true], "zero")[0])
    every = []
    # all 720 orderings, their curves written out: the score is a sum
    for order in permutations(true.tolist()):
        total = sum(true.tolist())
        down = [total - sum(order[:k]) for k in range(7)]
        up = [total - sum(order[::-1][:k]) for k in range(7)]
        every.append(sum(u - d for u, d in zip(up, down, strict=True)) / 6)
    assert best == pytest.approx(max(every), abs=1e-5)
    assert min(every) < 0 < best


def test_another_seed_of_the_vit_gives_other_curves(images: list[Row]) -> None:
    task = ImageTask.load(vit(1), {"size": 32, "mean": 0.5, "std": 0.25})
    batch = task.prepare(images)
    curves = remove(task, batch, scores_of(batch.units), "mean", steps=4)
    assert all(len(c.k) == 5 and np.ptp(c.morf_logit) > 0 for c in curves)


def test_a_prepared_batch_can_go_into_a_backward(
    image_task: ImageTask, images: list[Row], text_task: TextTask, texts: list[Row]
) -> None:
    for batch in (image_task.prepare(images), text_task.prepare(texts)):
        parts = [batch.targets, batch.score, batch.probability, batch.predicted, batch.member]
        assert not any(part.is_inference() for part in [*parts, *batch.inputs.values()])
