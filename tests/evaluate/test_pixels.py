"""A float tensor means pixels that the model's preprocessing has made, wherever it is given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.evaluate import localisation as loc
from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.task import Row
from lxt_like.explain.image import open_image


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("form", ["tensor", "row"])
def test_explain_and_evaluate_read_the_same_pixels(
    image_task: ImageTask, dtype: torch.dtype, form: str
) -> None:
    pixels = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(2)).to(dtype)
    given = pixels if form == "tensor" else {"image": pixels}
    with torch.no_grad():
        logits = image_task.model(pixels[None].float()).logits[0]
    batch = image_task.prepare([Row("a", given)])
    assert float(batch.score[0]) == pytest.approx(float(logits.max()), rel=1e-5)
    explained = lxt.explain(image_task.image, given)
    assert explained.target.score == pytest.approx(float(logits.max()), rel=1e-5)


def test_a_mask_of_such_pixels_is_of_them(image_task: ImageTask) -> None:
    mask = np.zeros((32, 32))
    mask[:16, :8] = 1
    batch = image_task.prepare([Row("a", torch.randn(3, 32, 32), mask=mask)])
    (found,) = loc.unit_masks(image_task, batch)
    assert found is not None and list(np.flatnonzero(found)) == [0, 4]


@pytest.mark.parametrize("shape", [(32, 32), (1, 3, 32, 32), (32, 32, 3)])
def test_another_shape_is_refused(image_task: ImageTask, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"sample 'a': a float tensor is one image .* \[3, H, W\]"):
        image_task.prepare([Row("a", torch.rand(shape))])


def test_sizes_of_one_batch_agree(image_task: ImageTask) -> None:
    rows = [Row(str(i), torch.randn(3, side, side)) for i, side in enumerate((32, 40))]
    with pytest.raises(InputError, match="different sizes"):
        image_task.prepare(rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_opened(dtype: torch.dtype) -> None:
    values = torch.arange(12.0).reshape(2, 6) / 16
    opened = np.asarray(open_image(values.to(dtype)).image)
    assert (opened == np.asarray(open_image(values).image)).all()
