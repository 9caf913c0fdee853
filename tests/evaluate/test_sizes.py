"""Images that keep their own sizes: each is cut into cells of one size, as ``lxt.explain`` does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.space import Choice
from lxt_like.evaluate.task import Row
from lxt_like.explain.image.grid import find_grid
from tests.evaluate.conftest import vit

SIZES = ((64, 64), (32, 24), (128, 128), (40, 10), (70, 97))


def unscaled(image: Any) -> Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255


def picture(height: int, width: int) -> Any:
    drawn = np.random.default_rng(height).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(drawn)


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_the_units_are_those_of_explain(size: tuple[int, int]) -> None:
    model, image = cnn(), picture(*size)
    made = lxt.evaluate(
        model, [image], methods=["attnlrp", "centre", "gradcam"], operators=["zero"],
        processor=unscaled, labels=list("abc"), cell=16, steps=3,
    )  # fmt: skip
    explained: Any = lxt.explain(model, image, processor=unscaled, labels=list("abc"), cell=16)
    rows = {row["method"]: row["values"] for row in made.tables["relevance"].to_pylist()}
    shown = made.tables["samples"].to_pylist()[0]
    assert (shown["rows"], shown["columns"]) == explained.patches.shape
    np.testing.assert_allclose(rows["attnlrp"], explained.patches.flatten(), atol=1e-5)
    assert len(rows["centre"]) == len(rows["gradcam"]) == explained.patches.size


@pytest.mark.parametrize("size", SIZES)
def test_every_unit_has_pixels_and_removing_all_of_them_leaves_none(size: tuple[int, int]) -> None:
    task = ImageTask.load(cnn(), unscaled, list("abc"), cell=16)
    batch = task.prepare([Row("a", picture(*size))])
    cells = task.cells(batch.inputs["pixels"])
    assert cells.unique().tolist() == list(range(batch.units[0]))
    # the last cells take what is left over, which is less than one more
    assert cells.unique(return_counts=True)[1].max() < 4 * 16 * 16


def test_images_of_several_sizes_in_one_run() -> None:
    images = [picture(*size) for size in SIZES]
    options: dict[str, Any] = {
        "methods": ["attnlrp"], "processor": unscaled, "labels": list("abc"), "cell": 16,
        "steps": 3,
    }  # fmt: skip
    made = lxt.evaluate(cnn(), images, **options)
    assert not made.skipped
    together = [row["srg"] for row in made.tables["per_sample"].to_pylist()]
    alone = [
        row["srg"]
        for image in images
        for row in lxt.evaluate(cnn(), [image], **options).tables["per_sample"].to_pylist()
    ]
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(("kernel", "padding"), [(8, 0), (12, 0), (12, 2), (10, 4)])
def test_a_grid_on_another_size_has_as_many_cells_as_there_are_tokens(
    kernel: int, padding: int
) -> None:
    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, kernel, 8, padding)
            self.norm = nn.LayerNorm(8)

        def forward(self, pixels: Tensor) -> Tensor:
            return self.norm(self.conv(pixels).flatten(2).transpose(1, 2))

    model = Patches()
    grid = find_grid(model, torch.zeros(1, 3, 64, 64), model)
    assert grid.tokens
    for size in ((64, 64), (32, 24), (128, 128), (70, 97), (16, 12), (33, 47)):
        found = grid.on(*size)
        assert found.rows * found.cols == model(torch.zeros(1, 3, *size)).shape[1]
        assert found.index(*size).unique().numel() == found.rows * found.cols


def test_a_transformer_of_images_of_any_size_drops_that_image_s_tokens() -> None:
    class Flexible(nn.Module):
        """Interpolates its positions, as transformers does where it is asked to."""

        def __init__(self) -> None:
            super().__init__()
            self.vit = vit()

        def forward(self, pixels: Tensor) -> Tensor:
            logits: Tensor = self.vit(pixels, interpolate_pos_encoding=True).logits
            return logits

    task = ImageTask.load(Flexible().eval(), unscaled, list("abcd"))
    assert task.tokens and "drop" in task.operators
    batch = task.prepare([Row("a", picture(24, 40))])
    assert batch.units == [15]
    everything = lxt.evaluate(task, [picture(24, 40)], operators=["drop"], steps=3)
    shown = everything.tables["samples"].to_pylist()[0]
    assert (shown["rows"], shown["columns"]) == (3, 5)
    assert not everything.summary["left_out"]


def wide_kernel() -> nn.Module:
    """A model that cannot read what is smaller than its kernel."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 7), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()


SETTINGS: dict[str, Any] = {
    "processor": unscaled, "labels": list("abc"), "cell": 8, "steps": 3, "operators": ["zero"],
}  # fmt: skip


def test_checks_are_of_what_can_be_read_of_any_size() -> None:
    images = [picture(5, 5), picture(32, 32), picture(40, 24), *[picture(32, 32)] * 2]
    options = {**SETTINGS, "methods": ["attnlrp", "random"], "thorough": True}
    made = lxt.evaluate(wide_kernel(), images, **options)
    assert [row["sample"] for row in made.skipped] == ["0"]
    depends, adds_up = made.summary["extras"][-2:]
    assert "Over 4 samples" in depends["help"]
    assert depends["rows"][0][3] == adds_up["rows"][0][3] == ""
    # the mean over images is that of the images one by one
    alone = [
        lxt.evaluate(wide_kernel(), [image], **options).summary["extras"][-1]["rows"][0][1]
        for image in images[1:]
    ]
    assert adds_up["rows"][0][1] == pytest.approx(np.mean(alone), abs=1e-6)


def test_tuning_takes_what_an_evaluation_takes() -> None:
    mixed = [picture(32, 32)] * 5 + [picture(5, 5)] + [picture(40, 24)] * 5
    found = lxt.tune(wide_kernel(), mixed, budget=2, **SETTINGS)
    assert found.samples == (5, 5)
    report = lxt.evaluate(wide_kernel(), mixed, methods=["attnlrp"], **SETTINGS)
    halves = np.random.default_rng(0).permutation(10)[::2]
    srg = [row["srg"] for row in report.tables["per_sample"].to_pylist()]
    default = next(trial.srg for trial in found.table if trial.choice == Choice())
    assert default == pytest.approx(np.mean([srg[i] for i in halves]), abs=1e-5)
